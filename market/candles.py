"""Candles from our own quotes, each with a word on how complete it is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache, partial

from sqlalchemy.orm import Session

from infra.db import Sessions, transact
from market import bars
from market.bars import HOUR, MINUTE, Bar, QuoteBar, start_of
from market.models import Instrument
from market.sessions import Session as TradingSession
from market.sessions import session_at
from market.symbols import SymbolClass, class_of
from market.upstream import UnknownSymbol

CHUNK = 2000
MOST_CANDLES = 5000
_DAY = 1440
# Every session begins and ends at a full or a half hour.
_HALF_HOUR = 30


class Resolution(StrEnum):
    """How much time a candle covers, in the provider's words: minutes, or a day (UTC)."""

    ONE = "1"
    FIVE = "5"
    FIFTEEN = "15"
    THIRTY = "30"
    SIXTY = "60"
    DAY = "D"

    @property
    def minutes(self) -> int:
        """Return its length in minutes."""
        return _DAY if self is Resolution.DAY else int(self.value)

    @property
    def base(self) -> int:
        """Return the size of the bars that it is made of."""
        return HOUR if self.minutes >= HOUR else MINUTE


@dataclass(frozen=True, slots=True)
class Candle:
    """A bar as it is shown; `expected` are the minutes of trading in it, up to now."""

    bar: Bar
    expected: int
    is_open: bool

    @property
    def coverage(self) -> float | None:
        """Return the share of the expected minutes that have a quote; None if none is expected."""
        if not self.expected:
            return None
        return min(1.0, round(self.bar.covered / self.expected, 3))


@dataclass(frozen=True, slots=True)
class Span:
    """Instants that candles begin at or after, and at or before."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """Whose candles: a symbol's, of the source that its present quotes come from."""

    symbol: str
    source: str
    fetched_at: datetime | None

    @property
    def symbol_class(self) -> SymbolClass:
        """The kind of thing that the symbol names."""
        return class_of(self.symbol)


def get_series(session: Session, symbol: str) -> Series:
    """Name the series of a symbol.

    Raises:
        UnknownSymbol: we have never had a quote of it.
    """
    instrument = session.get(Instrument, symbol)
    if instrument is None or instrument.source is None:
        raise UnknownSymbol(symbol)
    return Series(symbol, instrument.source, instrument.fetched_at)


def iterate(
    reads: Sessions,
    series: Series,
    *,
    resolution: Resolution,
    span: Span,
    now: datetime,
    at_once: int = CHUNK,
) -> Iterator[list[Candle]]:
    """Read candles in order, in groups; each group is a short transaction, so none is held open.

    Rolling up and pruning may go on meanwhile: they touch the ends, a candle is never told twice.
    """
    first = start_of(span.first, minutes=resolution.minutes)
    if first < span.first:
        first += timedelta(minutes=resolution.minutes)
    open_candle: Bar | None = None
    after = first - timedelta(microseconds=1)
    last = start_of(span.last, minutes=resolution.minutes) + timedelta(minutes=resolution.minutes)
    read = partial(_list_bars, series=series, minutes=resolution.base, before=last, limit=at_once)
    while chunk := transact(reads, partial(read, after=after)):
        after = chunk[-1].start_at
        *whole, open_candle = _group(
            [open_candle, *chunk] if open_candle else chunk, resolution.minutes
        )
        if whole:
            yield [_candle(bar, series.symbol_class, resolution, now) for bar in whole]
    if open_candle is not None:
        yield [_candle(open_candle, series.symbol_class, resolution, now)]


def expected_minutes(symbol_class: SymbolClass, start_at: datetime, end_at: datetime) -> int:
    """Count the minutes of trading between two instants, as far as the class's hours are known."""
    total = 0
    at = start_at
    while at < end_at:
        half = start_of(at, minutes=_HALF_HOUR)
        until = min(half + timedelta(minutes=_HALF_HOUR), end_at)
        if _is_trading(symbol_class, half):
            total += -(-(until - at) // timedelta(minutes=1))
        at = until
    return total


def _list_bars(
    session: Session,
    *,
    series: Series,
    minutes: int,
    after: datetime,
    before: datetime,
    limit: int,
) -> list[Bar]:
    query = (
        bars.select_bars(series.symbol, source=series.source, minutes=minutes)
        .where(QuoteBar.start_at > after, QuoteBar.start_at < before)
        .order_by(QuoteBar.start_at)
        .limit(limit)
    )
    return [bars.bar_of_row(row) for row in session.execute(query)]


def _group(found: list[Bar], minutes: int) -> list[Bar]:
    grouped: list[Bar] = []
    for bar in found:
        start_at = start_of(bar.start_at, minutes=minutes)
        if grouped and grouped[-1].start_at == start_at:
            grouped[-1] = grouped[-1].joined(bar)
        else:
            grouped.append(replace(bar, start_at=start_at))
    return grouped


def _candle(bar: Bar, symbol_class: SymbolClass, resolution: Resolution, now: datetime) -> Candle:
    end_at = bar.start_at + timedelta(minutes=resolution.minutes)
    expected = expected_minutes(symbol_class, bar.start_at, min(end_at, now))
    return Candle(bar, expected, is_open=end_at > now)


@lru_cache(maxsize=50_000)
def _is_trading(symbol_class: SymbolClass, at: datetime) -> bool:
    return session_at(symbol_class, at) is TradingSession.REGULAR
