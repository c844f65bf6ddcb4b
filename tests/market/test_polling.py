"""A week of polling with the clock as an argument: who is asked when, within the budget."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from market.hours import Hours
from market.polling import Watch, choose, watch_quote, watch_status

TICK = timedelta(seconds=20)
PER_TICK = 10
# The week of Thanksgiving: Thursday rests, Friday closes at 13:00 in New York.
SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)
SYMBOLS = ["AAPL", "MSFT", "OANDA:EUR_USD", "BINANCE:BTCUSDT"]

Asked = dict[str, list[datetime]]


def simulate(symbols: list[str], *, start: datetime, span: timedelta) -> Asked:
    """Tick through a span; every symbol that is wanted is answered at once."""
    hours, asked = Hours(), defaultdict[str, list[datetime]](list)
    now = start
    while now < start + span:
        watched = [watch_quote(one, last_at=last(asked, f"quote {one}"), hours=hours, now=now)
                   for one in symbols]  # fmt: skip
        watched.append(watch_status(last_at=last(asked, "status US"), hours=hours, now=now))
        for watch in choose(watched, now=now, limit=PER_TICK):
            asked[watch.want].append(now)
        now += TICK
    return asked


def last(asked: Asked, want: str) -> datetime | None:
    return asked[want][-1] if asked[want] else None


def count(asked: Asked, symbol: str, start: str, end: str) -> int:
    first, until = (datetime.fromisoformat(f"{at}+00:00") for at in (start, end))
    return sum(first <= at < until for at in asked[f"quote {symbol}"])


@pytest.fixture(scope="module")
def week() -> Asked:
    return simulate(SYMBOLS, start=SUNDAY, span=timedelta(days=7))


@pytest.mark.parametrize(
    ("symbol", "start", "end", "times"),
    [
        ("AAPL", "2026-11-22T00:00", "2026-11-23T00:00", 48),  # a Sunday, twice an hour
        ("AAPL", "2026-11-23T14:30", "2026-11-23T21:00", 6.5 * 180),  # a Monday's session
        ("AAPL", "2026-11-23T09:00", "2026-11-23T14:30", 5.5 * 60),  # before it
        ("AAPL", "2026-11-23T21:00", "2026-11-24T01:00", 4 * 60),  # after it
        ("AAPL", "2026-11-26T00:00", "2026-11-27T00:00", 48 + 59),  # Thanksgiving, from Wednesday
        ("AAPL", "2026-11-27T14:30", "2026-11-27T18:00", 3.5 * 180),  # the early close
        ("AAPL", "2026-11-27T22:00", "2026-11-28T22:00", 48),
        ("OANDA:EUR_USD", "2026-11-22T00:00", "2026-11-22T22:00", 22),  # the weekend
        ("OANDA:EUR_USD", "2026-11-22T22:00", "2026-11-23T22:00", 24 * 180),
        ("OANDA:EUR_USD", "2026-11-26T00:00", "2026-11-27T00:00", 24 * 180),  # no holiday there
        ("OANDA:EUR_USD", "2026-11-27T22:00", "2026-11-28T22:00", 24),
        ("BINANCE:BTCUSDT", "2026-11-22T00:00", "2026-11-29T00:00", 7 * 24 * 180),
    ],
)
def test_each_symbol_is_asked_for_at_the_pace_of_its_session(
    week: Asked, symbol: str, start: str, end: str, times: float
) -> None:
    assert count(week, symbol, start, end) == pytest.approx(times, abs=2)


def test_a_week_stays_within_the_share_of_the_budget(week: Asked) -> None:
    calls = Counter(at for times in week.values() for at in times)
    minutes = Counter(at.replace(second=0) for times in week.values() for at in times)

    assert max(calls.values()) <= PER_TICK
    assert max(minutes.values()) <= 30


def test_a_closing_price_is_fetched_at_once(week: Asked) -> None:
    closes = datetime(2026, 11, 27, 18, tzinfo=UTC)

    assert closes in week["quote AAPL"]
    assert closes in week["status US"]


def test_a_list_that_is_too_long_becomes_less_fresh_for_all_alike() -> None:
    symbols = [f"BINANCE:S{n}" for n in range(60)]

    asked = simulate(symbols, start=SUNDAY, span=timedelta(hours=1))

    times = [len(asked[f"quote {symbol}"]) for symbol in symbols]
    assert sum(times) <= 30 * 60
    assert max(times) - min(times) <= 2


def test_missed_turns_are_not_made_up_for() -> None:
    watch = Watch("quote AAPL", every_s=20, last_at=SUNDAY)

    chosen = choose([watch], now=SUNDAY + timedelta(hours=9), limit=5)

    assert chosen == [watch]
