from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from infra import redis
from infra.budget import Lane
from infra.db import Database, transact
from infra.redis import Client
from market import quotes, watchlist
from market.drain import drain
from market.refresh import Desk
from tests.support.figures import make_figures
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

SYMBOLS = [f"S{n}" for n in range(9)]


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Client]:
    with redis.connect(valkey.url(2)) as client:
        yield client


def confirm(database: Database, symbol: str, *, seconds_ago: int) -> None:
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    figures = make_figures(at)
    transact(
        database.sessions,
        lambda session: quotes.save(
            session, symbol=symbol, figures=figures, source="simulated", now=at
        ),
    )


def want_due(desk: Desk, symbols: list[str], *, per_minute: int = 60) -> list[str]:
    watchlist.want_due(desk, symbols=symbols, per_minute=per_minute, every_s=10)
    return sorted(desk.wanted.take(lane=Lane.SCHEDULED, limit=100))


def test_half_of_what_the_budget_allows_is_wanted_each_time(desk: Desk) -> None:
    assert len(want_due(desk, SYMBOLS)) == 5


def test_the_longest_unconfirmed_come_first(desk: Desk, database: Database) -> None:
    for n, symbol in enumerate(SYMBOLS):
        confirm(database, symbol, seconds_ago=100 - n)

    assert want_due(desk, SYMBOLS) == [f"quote S{n}" for n in range(5)]


def test_what_was_confirmed_lately_is_not_due(desk: Desk, database: Database) -> None:
    confirm(database, "S0", seconds_ago=5)

    assert want_due(desk, ["S0", "S1"]) == ["quote S1"]


def test_what_was_asked_for_lately_is_watched(desk: Desk, client: Client) -> None:
    now_s = datetime.now(UTC).timestamp()
    client.zadd("market:recent", {"NFLX": now_s - 60, "OLD": now_s - 1000})

    assert want_due(desk, []) == ["quote NFLX"]


def test_a_symbol_that_failed_does_not_take_anothers_place(desk: Desk) -> None:
    desk.wanted.post("quote S0", {"code": "unknown_symbol"}, life_s=600)

    assert want_due(desk, ["S0", "S1"], per_minute=12) == ["quote S1"]


def test_the_default_watchlist_costs_at_most_thirty_calls_a_minute(
    desk: Desk, database: Database, sandbox: Sandbox
) -> None:
    symbols = ["AAPL", "MSFT", "GOOGL", "AMZN", "NVDA", "TSLA", "BINANCE:BTCUSDT",
               "BINANCE:ETHUSDT", "OANDA:EUR_USD"]  # fmt: skip
    for _ in range(2):
        watchlist.want_due(desk, symbols=symbols, per_minute=60, every_s=10)
        drain(desk)

    assert sandbox.calls_by_symbol() == dict.fromkeys(symbols, 1)
