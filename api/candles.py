"""Candles made of stored quotes, as JSON and as CSV."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api.deps import Reads
from api.errors import problems
from api.market_answers import NOT_MODIFIED
from api.market_shapes import Symbol
from api.spans import As, Begin, End, Format, InvalidSpan, read_span, send
from api.spreadsheets import CONTENT, TooManyExports, as_csv, cell
from infra.db import transact
from infra.errors import Invalid
from market import candles, freshness
from market.candles import MOST_CANDLES, Candle, Resolution, Series
from market.documents import instant, number
from market.sessions import Session, session_at
from market.symbols import InvalidSymbol, parse_symbol
from market.upstream import UnknownSymbol

router = APIRouter(prefix="/market", tags=["market"])

_USUAL_CANDLES = 500
_MOVING = ("age_s", "fetched_at")
_HEAD = (
    *("t", "start_at", "o", "h", "l", "c", "n", "covered", "expected", "coverage", "open"),
    *("source", "symbol"),
)


class TooManyCandles(Invalid):
    """The span holds more candles than one answer."""

    code = "too_many_candles"

    def __init__(self) -> None:
        super().__init__(
            f"That may be more than {MOST_CANDLES} candles: ask for less at once, for a coarser"
            " resolution, or for format=csv, which has no limit."
        )


class CandlesOut(BaseModel):
    """Candles in columns of one length, as Finnhub has them, oldest first; there is no volume."""

    symbol: str
    resolution: Resolution
    s: str = Field(description="`ok`, or `no_data`: then the columns are empty.")
    t: list[int] = Field(description="Begin, unix seconds.")
    o: list[float]
    h: list[float]
    l: list[float]  # noqa: E741 - the provider's name
    c: list[float]
    n: list[int] = Field(description="Quotes in the candle.")
    covered: list[int] = Field(description="Minutes that have a quote.")
    expected: list[int] = Field(description="Minutes of regular trading, up to now.")
    coverage: list[float | None] = Field(
        description="Covered share of the expected minutes; null where none is expected."
    )
    open: list[bool] = Field(description="True while the candle's time has not passed.")
    as_of: datetime | None = Field(description="The provider's time of the last quote in it.")
    fetched_at: datetime | None = Field(description="When the provider last confirmed the quote.")
    age_s: int | None = Field(description="Seconds since `as_of`.")
    source: str = Field(description="`finnhub` or `simulated`; never mixed.")
    stale: bool = Field(description="True if in trading hours the quote has not been confirmed.")
    session: str


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": CONTENT},
    **NOT_MODIFIED,
    **problems(UnknownSymbol, InvalidSymbol, InvalidSpan, TooManyCandles, TooManyExports),
}


@router.get("/candles", response_model=CandlesOut, responses=_ANSWERS)
def list_candles(
    request: Request,
    reads: Reads,
    symbol: Symbol,
    resolution: Annotated[
        Resolution, Query(description="Minutes that a candle covers, or D for a day.")
    ] = Resolution.ONE,
    begin: Begin = None,
    end: End = None,
    written_as: As = Format.JSON,
) -> Response:
    """Tell the candles that begin in a span, made of the quotes that we have stored.

    Without `from`, the last 500 before `to`. A quote is in its candle within ten seconds.
    """
    symbol = parse_symbol(symbol)
    length = timedelta(minutes=resolution.minutes)
    first, last = read_span(begin, end, usual=length * _USUAL_CANDLES)
    if written_as is Format.JSON and (last - first) / length > MOST_CANDLES:
        raise TooManyCandles
    now = datetime.now(UTC)
    series = transact(reads, lambda session: candles.get_series(session, symbol))
    groups = candles.iterate(
        reads, series, resolution=resolution, span=candles.Span(first, last), now=now
    )
    if written_as is Format.CSV:
        rows = ([_row(series, candle) for candle in group] for group in groups)
        return as_csv(f"{symbol}-{resolution}", _HEAD, rows)
    found = [candle for group in groups for candle in group]
    shown = _columns(series, resolution, found, now)
    steady = {name: told for name, told in shown.items() if name not in _MOVING}
    return send(request, shown, tagged=steady)


def _columns(
    series: Series, resolution: Resolution, found: list[Candle], now: datetime
) -> dict[str, object]:
    columns: dict[str, list[object]] = {
        "t": [int(candle.bar.start_at.timestamp()) for candle in found],
        "o": [number(candle.bar.open) for candle in found],
        "h": [number(candle.bar.high) for candle in found],
        "l": [number(candle.bar.low) for candle in found],
        "c": [number(candle.bar.close) for candle in found],
        "n": [candle.bar.samples for candle in found],
        "covered": [candle.bar.covered for candle in found],
        "expected": [candle.expected for candle in found],
        "coverage": [candle.coverage for candle in found],
        "open": [candle.is_open for candle in found],
    }
    return {
        "symbol": series.symbol,
        "resolution": resolution,
        "s": "ok" if found else "no_data",
        **columns,
        **_freshness(series, found[-1].bar.last_at if found else None, now),
    }


def _freshness(series: Series, as_of: datetime | None, now: datetime) -> dict[str, object]:
    session = session_at(series.symbol_class, now)
    confirmed = series.fetched_at
    is_late = confirmed is None or now - confirmed > timedelta(seconds=freshness.QUOTE_S)
    return {
        "as_of": instant(as_of) if as_of else None,
        "fetched_at": instant(confirmed) if confirmed else None,
        "age_s": max(0, int((now - as_of).total_seconds())) if as_of else None,
        "source": series.source,
        "stale": is_late and session is not Session.CLOSED,
        "session": session,
    }


def _row(series: Series, candle: Candle) -> tuple[object, ...]:
    bar = candle.bar
    return (
        int(bar.start_at.timestamp()),
        instant(bar.start_at),
        *(format(figure, "f") for figure in (bar.open, bar.high, bar.low, bar.close)),
        *(bar.samples, bar.covered, candle.expected, candle.coverage, str(candle.is_open).lower()),
        cell(series.source),
        cell(series.symbol),
    )
