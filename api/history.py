"""Stored quotes, as JSON in pages and as CSV in one go."""

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.deps import Reads
from api.errors import problems
from api.market_answers import NOT_MODIFIED
from api.market_shapes import FiguresOut, Symbol
from api.paging import Paging
from api.spans import As, Begin, End, Format, InvalidSpan, read_span, send
from api.spreadsheets import CONTENT, TooManyExports, as_csv, cell
from infra.db import transact
from market import history, quotes
from market.documents import instant
from market.history import Line, Span
from market.symbols import InvalidSymbol, parse_symbol
from market.upstream import UnknownSymbol

router = APIRouter(prefix="/market", tags=["market"])

_USUAL = timedelta(days=1)
_HEAD = ("t", "as_of", "c", "d", "dp", "h", "l", "o", "pc", "source", "symbol")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": CONTENT},
    **NOT_MODIFIED,
    **problems(UnknownSymbol, InvalidSymbol, InvalidSpan, TooManyExports),
}


class StoredQuoteOut(FiguresOut):
    """A stored quote under Finnhub's keys."""

    as_of: datetime = Field(description="The provider's time.")
    fetched_at: datetime = Field(description="When we stored it.")
    source: str = Field(description="`finnhub` or `simulated`.")


@router.get("/history", response_model=list[StoredQuoteOut], responses=_ANSWERS)
def list_history(
    request: Request,
    response: Response,
    reads: Reads,
    page: Paging,
    symbol: Symbol,
    begin: Begin = None,
    end: End = None,
    written_as: As = Format.JSON,
) -> Response:
    """List a symbol's stored quotes, newest first; of the last day, unless told otherwise."""
    symbol = parse_symbol(symbol)
    span = Span(*read_span(begin, end, usual=_USUAL))
    transact(reads, lambda session: history.check_known(session, symbol))
    if written_as is Format.CSV:
        chunks = history.iterate(reads, symbol=symbol, span=span)
        rows = ([_row(symbol, line) for line in chunk] for chunk in chunks)
        return as_csv(f"{symbol}-history", _HEAD, rows)
    found = transact(
        reads,
        lambda session: history.list_quotes(
            session, symbol=symbol, span=span, limit=page.fetch, below=page.below
        ),
    )
    shown = [quotes.document(quote) for quote in page.show(found, key=history.key)]
    # An answer of our own keeps the digits, and has to be told what the page has said.
    return send(request, shown, tagged=shown, headers=response.headers)


def _row(symbol: str, line: Line) -> tuple[object, ...]:
    return (
        int(line.provider_time.timestamp()),
        instant(line.provider_time),
        *(line.price, line.change, line.change_percent),
        *(line.high, line.low, line.open, line.previous_close),
        cell(line.source),
        cell(symbol),
    )
