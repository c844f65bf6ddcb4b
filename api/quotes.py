"""Quotes over HTTP: one, a coin's, or up to a hundred in one answer."""

import asyncio
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from api.errors import problems, status_of
from api.from_memory import FromMemory
from api.market_answers import NOT_MODIFIED, find_stranger, send
from api.market_shapes import PROBLEMS, MaxAge, QuoteFailed, QuoteOut, Symbol
from infra.errors import AppError, Invalid, TooMany, Transient
from market.documents import Document, Ready, tag_of
from market.questions import Market
from market.symbols import InvalidSymbol, parse_crypto, parse_symbol

router = APIRouter(prefix="/market", tags=["market"])
_quotes = APIRouter(prefix="/market", tags=["market"], route_class=FromMemory)

MOST_SYMBOLS = 100


class InvalidSymbols(Invalid):
    """The list of symbols cannot be."""

    code = "invalid_symbols"

    def __init__(self) -> None:
        super().__init__(f"`symbols` takes 1 to {MOST_SYMBOLS} symbols with commas between them.")


@_quotes.get("/quote", response_model=QuoteOut, responses=PROBLEMS | NOT_MODIFIED)
async def get_quote(request: Request, symbol: Symbol, max_age_s: MaxAge = None) -> Response:
    """Tell what a symbol of any class trades at."""
    return send(request, await _find_or_ask(request, parse_symbol(symbol), max_age_s))


@router.get("/crypto", response_model=QuoteOut, responses=PROBLEMS | NOT_MODIFIED)
async def get_crypto(
    request: Request, symbol: Symbol = "BTC", max_age_s: MaxAge = None
) -> Response:
    """Tell what a coin trades at: `BTC`, `BTCUSDT` or `BINANCE:BTCUSDT`."""
    return send(request, await _find_or_ask(request, parse_crypto(symbol), max_age_s))


@router.get(
    "/quotes",
    response_model=list[QuoteOut | QuoteFailed],
    responses=problems(InvalidSymbols, InvalidSymbol) | NOT_MODIFIED,
)
async def list_quotes(
    request: Request,
    symbols: Annotated[str, Query(description="Up to 100, as in `AAPL,MSFT,BINANCE:BTCUSDT`.")],
    max_age_s: MaxAge = None,
) -> Response:
    """Tell what many symbols trade at, in the order asked for; what fails says so in its place."""
    market: Market = request.app.state.market
    asked = _parse_symbols(symbols)
    known = {symbol: market.find_quote(symbol, max_age_s=max_age_s) for symbol in asked}
    missing = [symbol for symbol, ready in known.items() if ready is None]
    asker = await find_stranger(request) if missing else None
    answers = await asyncio.gather(
        *(_quote_or_failure(market, symbol, max_age_s, asker) for symbol in missing)
    )
    found = known | dict(zip(missing, answers, strict=True))
    return send(request, _join([ready for ready in found.values() if ready is not None]))


# In front, and put in as they are: a router that is included is searched twice.
router.routes[:0] = _quotes.routes


async def _find_or_ask(request: Request, symbol: str, max_age_s: int | None) -> Ready:
    market: Market = request.app.state.market
    ready = market.find_quote(symbol, max_age_s=max_age_s)
    if ready is not None:
        return ready
    return await market.quote(symbol, max_age_s=max_age_s, asker=await find_stranger(request))


async def _quote_or_failure(
    market: Market, symbol: str, max_age_s: int | None, asker: str | None
) -> Ready:
    try:
        return await market.quote(symbol, max_age_s=max_age_s, asker=asker)
    except AppError as error:
        shown: Document = {"symbol": symbol, "error": _describe(error)}
        return Ready(orjson.dumps(shown), tag_of(shown), confirmed_s_ago=0)


def _describe(error: AppError) -> Document:
    retry_after_s = error.retry_after_s if isinstance(error, Transient | TooMany) else None
    return {
        "status": int(status_of(type(error))),
        "code": error.code,
        "detail": error.detail,
        "retry_after_s": retry_after_s,
    }


def _join(found: list[Ready]) -> Ready:
    """Make one answer of many, as old as the oldest of them."""
    return Ready(
        b"[" + b",".join(ready.body for ready in found) + b"]",
        tag_of([ready.tag for ready in found]),
        max(ready.confirmed_s_ago for ready in found),
    )


def _parse_symbols(text: str) -> list[str]:
    parts = text.split(",", MOST_SYMBOLS)
    if len(parts) > MOST_SYMBOLS or not all(part.strip(" ") for part in parts):
        raise InvalidSymbols
    return list(dict.fromkeys(parse_symbol(part) for part in parts))
