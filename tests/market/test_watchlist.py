from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from infra import redis
from infra.db import Database, transact
from infra.redis import Client
from infra.sharing.budget import Lane
from market import quotes, watchlist
from market.drain import drain
from market.models import Watched
from market.refresh import Desk
from market.watchlist import ConfiguredSymbol, NotWatched, Origin, WatchlistFull
from tests.support.figures import make_figures
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

# Coins trade at any hour, so no test depends on the day it runs on.
SYMBOLS = [f"BINANCE:S{n}" for n in range(9)]
REFERENCES = {"status US", "holidays US", "symbols binance", "symbols oanda"}


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


def put(database: Database, symbol: str, *configured: str) -> bool:
    return transact(
        database.sessions,
        lambda session: watchlist.put(session, symbol, added_by=1, configured=configured),
    ).is_new


def take_turn(desk: Desk, symbols: list[str], *, per_minute: int = 60) -> list[str]:
    watchlist.want_due(desk, symbols=symbols, per_minute=per_minute, every_s=10)
    return sorted(desk.wanted.take(lane=Lane.SCHEDULED, limit=100))


def want_quotes(desk: Desk, symbols: list[str], *, per_minute: int = 60) -> list[str]:
    return [want for want in take_turn(desk, symbols, per_minute=per_minute) if "quote" in want]


def next_turn(client: Client) -> None:
    """Let the time pass for which one caller has the turn."""
    client.delete("market:turn")


def test_half_of_what_the_budget_allows_is_wanted_each_time(desk: Desk) -> None:
    assert len(take_turn(desk, SYMBOLS)) == 5


def test_the_longest_unconfirmed_come_first(desk: Desk, database: Database) -> None:
    for n, symbol in enumerate(SYMBOLS):
        confirm(database, symbol, seconds_ago=20_000_000 - 10 * n)

    assert want_quotes(desk, SYMBOLS, per_minute=72) == [f"quote BINANCE:S{n}" for n in range(5)]


def test_what_was_confirmed_lately_is_not_due(desk: Desk, database: Database) -> None:
    confirm(database, "BINANCE:S0", seconds_ago=5)

    assert want_quotes(desk, SYMBOLS[:2]) == ["quote BINANCE:S1"]


def test_what_describes_the_market_is_wanted_once_a_day_or_so(desk: Desk, client: Client) -> None:
    first = take_turn(desk, [])
    next_turn(client)
    second = take_turn(desk, [])

    assert set(first) == REFERENCES
    assert second == []


def test_what_was_asked_for_lately_is_watched(desk: Desk, client: Client) -> None:
    now_s = datetime.now(UTC).timestamp()
    client.zadd("market:recent", {"BINANCE:NEW": now_s - 60, "BINANCE:OLD": now_s - 1000})

    assert want_quotes(desk, []) == ["quote BINANCE:NEW"]


def test_what_an_operator_put_there_is_watched(desk: Desk, database: Database) -> None:
    put(database, "BINANCE:XRPUSDT")

    assert want_quotes(desk, []) == ["quote BINANCE:XRPUSDT"]


def test_a_symbol_that_failed_does_not_take_anothers_place(desk: Desk) -> None:
    desk.wanted.post("quote BINANCE:S0", {"code": "unknown_symbol"}, life_s=600)

    assert want_quotes(desk, SYMBOLS[:2], per_minute=12) == ["quote BINANCE:S1"]


def test_a_symbol_that_is_never_confirmed_does_not_hold_up_the_others(
    desk: Desk, client: Client
) -> None:
    wanted = []
    for _ in range(3):
        wanted += want_quotes(desk, SYMBOLS[:3], per_minute=12)
        next_turn(client)

    assert sorted(wanted) == [f"quote BINANCE:S{n}" for n in range(3)]


def test_of_two_beats_at_once_one_has_the_turn(desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        wanted = list(
            pool.map(
                lambda _: watchlist.want_due(desk, symbols=SYMBOLS, per_minute=60, every_s=10),
                range(8),
            )
        )

    assert sorted(wanted) == [0] * 7 + [5]


def test_a_round_of_the_watchlist_calls_once_for_each(
    desk: Desk, database: Database, sandbox: Sandbox, client: Client
) -> None:
    symbols = ["AAPL", "MSFT", "BINANCE:BTCUSDT", "OANDA:EUR_USD"]
    for _ in range(3):
        watchlist.want_due(desk, symbols=symbols, per_minute=60, every_s=10)
        drain(desk)
        next_turn(client)

    assert sandbox.calls_by_symbol() == dict.fromkeys(symbols, 1)
    assert sandbox.calls("finnhub") == len(symbols) + len(REFERENCES)


def test_a_symbol_is_put_once_and_removed_once(database: Database) -> None:
    assert put(database, "NFLX")
    assert not put(database, "NFLX")

    transact(database.sessions, lambda s: watchlist.remove(s, "NFLX", configured=()))

    with pytest.raises(NotWatched):
        transact(database.sessions, lambda s: watchlist.remove(s, "NFLX", configured=()))


def test_what_is_configured_stays(database: Database) -> None:
    put(database, "AAPL", "AAPL")

    transact(database.sessions, lambda s: watchlist.remove(s, "AAPL", configured=["AAPL"]))

    with pytest.raises(ConfiguredSymbol):
        transact(database.sessions, lambda s: watchlist.remove(s, "AAPL", configured=["AAPL"]))


def test_each_symbol_is_listed_once_with_what_keeps_it_there(database: Database) -> None:
    for symbol in ("AAPL", "NFLX"):
        put(database, symbol)

    with database.reads() as session:
        entries = watchlist.list_entries(session, configured=["AAPL"], recent=["NFLX", "IBM"])

    assert [(entry.symbol, entry.origin) for entry in entries] == [
        ("AAPL", Origin.CONFIGURED),
        ("NFLX", Origin.STORED),
        ("IBM", Origin.RECENT),
    ]


def test_the_list_does_not_grow_without_end(database: Database) -> None:
    now = datetime.now(UTC)
    with database.sessions.begin() as session:
        for n in range(watchlist.MOST_STORED):
            session.add(Watched(symbol=f"S{n}", added_at=now))

    with pytest.raises(WatchlistFull):
        put(database, "ONE-MORE")
