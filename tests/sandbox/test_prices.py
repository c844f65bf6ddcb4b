"""The walk of prices, the candles cut from it, and the exchange's hours."""

from datetime import UTC, date, datetime
from functools import partial
from itertools import pairwise

import pytest

from sandbox.finnhub.candles import Span, cut
from sandbox.finnhub.exchange import NEW_YORK, Exchange, Hours, list_holidays
from sandbox.finnhub.instruments import Instrument, Kind, list_instruments, load_companies
from sandbox.finnhub.prices import DAY_S, SLOT_S, Market

DAY = 20_000
NOON = DAY * DAY_S + DAY_S // 2


@pytest.fixture(scope="module")
def instruments() -> dict[str, Instrument]:
    return list_instruments(load_companies())


@pytest.fixture
def apple(instruments: dict[str, Instrument]) -> Instrument:
    return instruments["AAPL"]


def test_same_seed_tells_the_same_prices_in_any_order(apple: Instrument) -> None:
    forward, backward = Market(seed=1), Market(seed=1)
    times = [NOON + step for step in (0, 7, 60, 3600)]

    first = [forward.quote(apple, at=at) for at in times]
    second = [backward.quote(apple, at=at) for at in reversed(times)]

    assert first == list(reversed(second))


def test_another_seed_tells_other_prices(apple: Instrument) -> None:
    quotes = {Market(seed=seed).quote(apple, at=NOON).c for seed in range(5)}

    assert len(quotes) == 5


def test_high_and_low_cover_every_price_told_before(apple: Instrument) -> None:
    market = Market(seed=3)
    quotes = [market.quote(apple, at=NOON + step) for step in range(900)]

    assert all(later.h >= earlier.h for earlier, later in pairwise(quotes))
    assert all(later.l <= earlier.l for earlier, later in pairwise(quotes))
    assert all(quote.l <= quote.c <= quote.h for quote in quotes)
    assert all(quote.l <= quote.o <= quote.h for quote in quotes)
    assert len({quote.c for quote in quotes}) > 20


def test_day_ends_where_the_next_one_says_it_closed(instruments: dict[str, Instrument]) -> None:
    bitcoin = instruments["BINANCE:BTCUSDT"]
    market = Market(seed=1)

    evening = market.quote(bitcoin, at=(DAY + 1) * DAY_S - 1)
    morning = market.quote(bitcoin, at=(DAY + 1) * DAY_S)

    assert morning.pc == pytest.approx(evening.c, rel=1e-3)
    assert morning.pc == market.open_close(bitcoin, day=DAY)[1]


def test_prices_stay_near_their_base_for_years(instruments: dict[str, Instrument]) -> None:
    market = Market(seed=1)

    shares = [
        market.open_close(instrument, day=DAY + 30 * month)[1] / instrument.price
        for instrument in instruments.values()
        for month in range(24)
    ]

    assert min(shares) > 0.6
    assert max(shares) < 1.6


def test_minute_candles_are_cut_from_the_walk(apple: Instrument) -> None:
    market = Market(seed=1)
    span = Span(first=NOON, last=NOON + 3600 - SLOT_S)

    candles = cut(market, apple, resolution="5", span=span)

    assert candles["s"] == "ok"
    assert candles["t"] == list(range(NOON, NOON + 3600, 300))
    assert candles["o"] == [market.quote(apple, at=at).c for at in range(NOON, NOON + 3600, 300)]


def test_unfinished_day_candle_agrees_with_the_quote(apple: Instrument) -> None:
    market = Market(seed=1)

    candles = cut(market, apple, resolution="D", span=Span(first=NOON - 9 * DAY_S, last=NOON))

    quote = market.quote(apple, at=NOON)
    columns = [candles[name] for name in "ohlc"]
    assert isinstance(candles["t"], list)
    assert len(candles["t"]) == 9
    assert [column[-1] for column in columns if isinstance(column, list)] == [
        quote.o,
        quote.h,
        quote.l,
        quote.c,
    ]


@pytest.mark.parametrize(("resolution", "bars"), [("D", 70), ("W", 11), ("M", 3)])
def test_longer_candles_join_days(apple: Instrument, resolution: str, bars: int) -> None:
    span = Span(first=DAY * DAY_S, last=(DAY + 69) * DAY_S)

    candles = cut(Market(seed=1), apple, resolution=resolution, span=span)

    highs, lows = candles["h"], candles["l"]
    assert isinstance(highs, list)
    assert isinstance(lows, list)
    assert len(highs) == bars
    assert all(low <= high for low, high in zip(lows, highs, strict=True))


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2026-11-23 03:59", None),
        ("2026-11-23 04:00", "pre-market"),
        ("2026-11-23 09:30", "regular"),
        ("2026-11-23 15:59", "regular"),
        ("2026-11-23 16:00", "post-market"),
        ("2026-11-23 20:00", None),
        ("2026-11-22 12:00", None),
        ("2026-11-26 12:00", None),
        ("2026-11-27 12:59", "regular"),
        ("2026-11-27 13:00", "post-market"),
    ],
)
def test_session_by_the_clock(moment: str, session: str | None) -> None:
    exchange = Exchange()
    exchange.switch(Hours.CLOCK, now=0)

    at = datetime.fromisoformat(moment).replace(tzinfo=NEW_YORK).timestamp()

    assert exchange.session(at) == session


def test_last_trade_before_a_weekend_was_on_friday() -> None:
    exchange = Exchange()
    exchange.switch(Hours.CLOCK, now=0)
    sunday = datetime(2026, 11, 22, 12, tzinfo=NEW_YORK).timestamp()

    stocks = exchange.last_trade_at(Kind.STOCK, sunday)
    currencies = exchange.last_trade_at(Kind.FOREX, sunday)
    coins = exchange.last_trade_at(Kind.CRYPTO, sunday)

    friday = datetime(2026, 11, 20, tzinfo=NEW_YORK)
    assert datetime.fromtimestamp(stocks, NEW_YORK) == friday.replace(hour=16)
    assert datetime.fromtimestamp(currencies, NEW_YORK) == friday.replace(hour=17)
    assert coins == sunday


@pytest.mark.parametrize(("resolution", "first", "bars"), [("60", 15, 6), ("D", 0, 1)])
def test_candles_keep_to_the_sessions(
    apple: Instrument, resolution: str, first: int, bars: int
) -> None:
    exchange = Exchange()
    exchange.switch(Hours.CLOCK, now=0)
    # From Friday to the end of a weekend; the first half hour of the session has no bar of its own.
    friday = datetime(2026, 11, 20, tzinfo=UTC)
    span = Span(int(friday.timestamp()), int(friday.timestamp()) + 3 * DAY_S - 1)

    candles = cut(
        Market(seed=1),
        apple,
        resolution=resolution,
        span=span,
        is_traded=partial(exchange.is_trading, Kind.STOCK),
    )

    times = candles["t"]
    assert isinstance(times, list)
    assert times[0] == friday.replace(hour=first).timestamp()
    assert len(times) == bars


def test_holidays_of_2026_are_the_published_ones() -> None:
    closed = [day.at for day in list_holidays(2026) if not day.trading_hour]
    early = [day.at for day in list_holidays(2026) if day.trading_hour]

    assert closed == [
        date(2026, 1, 1),
        date(2026, 1, 19),
        date(2026, 2, 16),
        date(2026, 4, 3),
        date(2026, 5, 25),
        date(2026, 6, 19),
        date(2026, 7, 3),
        date(2026, 9, 7),
        date(2026, 11, 26),
        date(2026, 12, 25),
    ]
    assert early == [date(2026, 11, 27), date(2026, 12, 24)]
