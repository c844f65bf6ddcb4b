from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from infra.db import Database, transact
from market import candles, history, rolling
from market.candles import Candle, Resolution, Span, expected_minutes
from market.symbols import SymbolClass
from market.upstream import UnknownSymbol
from tests.support.quotes import store_quotes

# A Friday; New York's exchanges are open from 14:30 to 21:00.
OPENING = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
MIDNIGHT = OPENING.replace(hour=0, minute=0)
SATURDAY = MIDNIGHT + timedelta(days=1)
BITCOIN = "BINANCE:BTCUSDT"
Stored = Sequence[tuple[datetime, str]]


def every(seconds: int, *, count: int, begin: datetime = OPENING) -> Stored:
    return [(begin + timedelta(seconds=seconds * n), str(100 + n)) for n in range(count)]


def read(
    database: Database,
    symbol: str,
    resolution: Resolution,
    *,
    span: Span | None = None,
    now: datetime = SATURDAY,
    at_once: int = 1000,
) -> list[Candle]:
    series = transact(database.reads, lambda session: candles.get_series(session, symbol))
    groups = candles.iterate(
        database.reads,
        series,
        resolution=resolution,
        span=span or Span(MIDNIGHT, SATURDAY),
        now=now,
        at_once=at_once,
    )
    return [candle for group in groups for candle in group]


def store(database: Database, symbol: str, stored: Stored) -> None:
    store_quotes(database, symbol, stored)
    rolling.roll_up(database, run_s=60)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
@pytest.mark.parametrize(("resolution", "count"), [("1", 60), ("5", 12), ("15", 4), ("30", 2)])
def test_candles_join_the_minutes_they_cover(
    database: Database, resolution: str, count: int, at_once: int
) -> None:
    store(database, "AAPL", every(20, count=180))

    found = read(database, "AAPL", Resolution(resolution), at_once=at_once)

    per_candle = 180 // count
    assert [candle.bar.open for candle in found] == list(range(100, 280, per_candle))
    assert [candle.bar.close for candle in found] == list(range(99 + per_candle, 280, per_candle))
    assert {candle.bar.samples for candle in found} == {per_candle}
    assert {candle.coverage for candle in found} == {1.0}


def test_hours_and_days_are_there_when_the_minutes_are_gone(each_database: Database) -> None:
    store(each_database, "AAPL", every(20, count=180))
    kept = rolling.Retention(timedelta(days=1), timedelta(days=1), timedelta(days=3650))
    rolling.prune(each_database, kept, run_s=60, now=SATURDAY + timedelta(days=3))

    (day,) = read(each_database, "AAPL", Resolution.DAY)
    hours = read(each_database, "AAPL", Resolution.SIXTY)

    assert read(each_database, "AAPL", Resolution.ONE) == []
    assert [hour.bar.samples for hour in hours] == [90, 90]
    assert (day.bar.start_at, day.bar.samples) == (MIDNIGHT, 180)
    prices = day.bar.open, day.bar.high, day.bar.low, day.bar.close
    assert prices == tuple(map(Decimal, (100, 279, 100, 279)))


def test_coverage_is_the_share_of_the_minutes_of_trading(database: Database) -> None:
    store(database, "AAPL", every(120, count=45))

    hours = read(database, "AAPL", Resolution.SIXTY)

    # The session opens at half past: 30 minutes of the first hour, 60 of the second.
    assert [(hour.bar.covered, hour.expected) for hour in hours] == [(15, 30), (30, 60)]
    assert [hour.coverage for hour in hours] == [0.5, 0.5]


def test_outside_of_trading_nothing_is_expected(database: Database) -> None:
    store(database, "AAPL", every(60, count=10, begin=MIDNIGHT))

    (hour,) = read(database, "AAPL", Resolution.SIXTY)

    assert (hour.expected, hour.coverage, hour.bar.covered) == (0, None, 10)


def test_open_candle_expects_what_has_passed(database: Database) -> None:
    store(database, BITCOIN, every(20, count=90))

    (day,) = read(database, BITCOIN, Resolution.DAY, now=OPENING + timedelta(minutes=30))
    (half_hour,) = read(database, BITCOIN, Resolution.THIRTY, now=OPENING + timedelta(minutes=30))

    assert (day.is_open, day.expected, day.bar.covered) == (True, 15 * 60, 30)
    assert (half_hour.is_open, half_hour.expected, half_hour.coverage) == (False, 30, 1.0)


def test_candle_that_begins_before_the_span_is_not_told(database: Database) -> None:
    store(database, "AAPL", every(60, count=60))
    span = Span(OPENING + timedelta(minutes=1), OPENING + timedelta(minutes=15))

    found = read(database, "AAPL", Resolution.FIVE, span=span)

    minutes = [(candle.bar.start_at - OPENING) // timedelta(minutes=1) for candle in found]
    assert minutes == [5, 10, 15]


def test_gap_has_no_candle(database: Database) -> None:
    store(database, "AAPL", [*every(20, count=3), (OPENING + timedelta(minutes=7), "5")])

    found = read(database, "AAPL", Resolution.ONE)

    assert [candle.bar.start_at.minute for candle in found] == [30, 37]


def test_symbol_without_a_quote_is_unknown(database: Database) -> None:
    with pytest.raises(UnknownSymbol):
        read(database, "NOPE", Resolution.ONE)


@pytest.mark.parametrize(
    ("symbol_class", "begin", "end", "minutes"),
    [
        (SymbolClass.CRYPTO, "2026-11-21T00:00", "2026-11-22T00:00", 1440),
        (SymbolClass.FOREX, "2026-11-20T21:00", "2026-11-21T00:00", 60),
        (SymbolClass.EQUITY, "2026-11-20T00:00", "2026-11-21T00:00", 390),
        (SymbolClass.EQUITY, "2026-11-27T00:00", "2026-11-28T00:00", 210),
        (SymbolClass.EQUITY, "2026-11-26T00:00", "2026-11-27T00:00", 0),
        (SymbolClass.EQUITY, "2026-11-20T14:45", "2026-11-20T15:00", 15),
        (SymbolClass.CRYPTO, "2026-11-20T14:45", "2026-11-20T14:45", 0),
    ],
)
def test_minutes_of_trading_are_those_of_the_sessions(
    symbol_class: SymbolClass, begin: str, end: str, minutes: int
) -> None:
    start_at, end_at = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end))

    assert expected_minutes(symbol_class, start_at, end_at) == minutes


@pytest.mark.parametrize("at_once", [1, 7, 30, 31])
def test_history_is_read_whole_and_in_order_in_chunks(
    each_database: Database, at_once: int
) -> None:
    stored = every(20, count=30)
    store_quotes(each_database, "AAPL", stored)
    span = history.Span(stored[0][0], stored[-1][0])

    chunks = list(history.iterate(each_database.reads, symbol="AAPL", span=span, at_once=at_once))

    lines = [line for chunk in chunks for line in chunk]
    assert [(line.provider_time, line.price) for line in lines] == stored
    assert max(map(len, chunks)) <= at_once


def test_history_is_paged_newest_first(database: Database) -> None:
    stored = every(20, count=10)
    store_quotes(database, "AAPL", stored)
    span = history.Span(stored[1][0], stored[8][0])

    below, prices = None, []
    for _ in range(3):
        with database.reads() as session:
            page = history.list_quotes(session, symbol="AAPL", span=span, limit=3, below=below)
        below = history.key(page[-1])
        prices += [quote.price for quote in page]

    assert prices == [Decimal(price) for _, price in stored[8:0:-1]]
