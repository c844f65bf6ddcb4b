import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import sqlalchemy as sa

from infra import redis
from infra.db import Database, open_database
from infra.outbox import Event
from infra.redis import Client
from infra.sharing.budget import CallBudget, Lane, Limits
from market import forex, quotes, references
from market.drain import drain
from market.hours import Hours
from market.models import ForexRate, News, Quote
from market.refresh import Desk
from market.sessions import Session as TradingSession
from market.symbols import SymbolClass
from tests.market.conftest import PATIENT_S
from tests.support.figures import make_figures
from tests.support.processes import eventually, free_port
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey


def want(desk: Desk, *wants: str, lane: Lane = Lane.INTERACTIVE) -> None:
    desk.wanted.add(wants, lane=lane)


def serve(desk: Desk, *wants: str) -> dict[str, object]:
    """Serve wants; return what became of the last one."""
    want(desk, *wants)
    drain(desk)
    return desk.wanted.find_outcome(wants[-1]) or {}


def forget_outcomes(valkey: Valkey) -> None:
    """Let the seconds pass for which an outcome settles a want."""
    with valkey.client(2) as client:
        for key in client.scan_iter("market:outcome:*"):
            client.delete(key)


def list_events(database: Database) -> list[tuple[str, str]]:
    with database.reads() as session:
        return list(session.execute(sa.select(Event.type, Event.subject)))


def count(database: Database, table: type) -> int:
    with database.reads() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_quote_is_stored_cached_and_published(desk: Desk, database: Database) -> None:
    outcome = serve(desk, "quote AAPL")

    cached = desk.cache.find("market:answer:quote AAPL")
    assert outcome == {"code": "ok"}
    assert cached is not None
    assert cached["source"] == "simulated"
    assert list_events(database) == [("quote.updated", "quotes/AAPL")]
    assert count(database, Quote) == 1


def test_on_sqlite_too(make_desk: Callable[..., Desk], sqlite_database: Database) -> None:
    desk = make_desk(sqlite_database)
    want(desk, *(f"quote {symbol}" for symbol in ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN")))

    done = drain(desk)

    assert done.changed == 5
    assert count(sqlite_database, Quote) == 5


def test_what_was_settled_a_moment_ago_is_not_asked_again(desk: Desk, sandbox: Sandbox) -> None:
    serve(desk, "quote AAPL")

    outcome = serve(desk, "quote AAPL")

    assert outcome == {"code": "ok"}
    assert sandbox.calls("finnhub") == 1


def test_workers_share_the_wants_and_call_once_for_each(desk: Desk, sandbox: Sandbox) -> None:
    symbols = ["AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "GOOGL", "BINANCE:BTCUSDT"]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            want(desk, *(f"quote {symbol}" for symbol in symbols))
            list(pool.map(drain, [desk] * 4))

    assert sandbox.calls_by_symbol() == dict.fromkeys(symbols, 1)


def test_an_unknown_symbol_is_remembered(
    desk: Desk, sandbox: Sandbox, database: Database, valkey: Valkey
) -> None:
    serve(desk, "quote NOPE")

    outcome = serve(desk, "quote NOPE")

    with valkey.client(2) as client:
        life_s = client.ttl("market:outcome:quote NOPE")
    assert outcome["code"] == "unknown_symbol"
    assert 500 <= life_s <= 600
    assert sandbox.calls("finnhub") == 1
    assert count(database, Quote) == 0


@pytest.mark.parametrize("fault", ["zeros", "stale_time", "garbage", "html"])
def test_a_bad_answer_is_kept_out_of_everything(
    desk: Desk, sandbox: Sandbox, database: Database, valkey: Valkey, fault: str
) -> None:
    serve(desk, "quote AAPL")
    cached = desk.cache.find("market:answer:quote AAPL")
    forget_outcomes(valkey)
    sandbox.fault("finnhub", fault, times=1)

    outcome = serve(desk, "quote AAPL")

    assert outcome["code"] == "market_unavailable"
    assert desk.cache.find("market:answer:quote AAPL") == cached
    assert count(database, Quote) == 1
    assert len(list_events(database)) == 1


def test_what_the_plan_lacks_is_remembered_for_an_hour(
    desk: Desk, sandbox: Sandbox, valkey: Valkey
) -> None:
    sandbox.fault("finnhub", "no_access", times=1)

    outcome = serve(desk, "quote AAPL")

    with valkey.client(2) as client:
        life_s = client.ttl("market:outcome:quote AAPL")
    assert outcome["code"] == "no_access"
    assert 3500 <= life_s <= 3600


def test_too_many_calls_pause_all_of_them(desk: Desk, sandbox: Sandbox) -> None:
    sandbox.fault("finnhub", "http_429", times=1)

    first = serve(desk, "quote AAPL")
    second = serve(desk, "quote MSFT")

    assert first["code"] == "rate_limited"
    assert second["code"] == "over_budget"
    assert sandbox.calls("finnhub") == 1


def test_no_more_is_called_than_the_budget_allows(
    make_desk: Callable[..., Desk], database: Database, sandbox: Sandbox
) -> None:
    desk = make_desk(database, per_minute=60, per_second=30)
    want(desk, *(f"quote S{n}" for n in range(16)))
    began_s = time.monotonic()

    drain(desk, run_s=0.5)

    # Nothing is known of the minute before, so that there is one call a second.
    assert 1 <= sandbox.calls("finnhub") <= 2 + time.monotonic() - began_s


def test_a_schedule_that_is_refused_leaves_no_word_for_people(
    make_desk: Callable[..., Desk], database: Database
) -> None:
    desk = make_desk(database, per_minute=2, per_second=1)
    want(desk, "quote AAPL", "quote MSFT", "quote NVDA", lane=Lane.SCHEDULED)

    done = drain(desk)

    outcomes = [desk.wanted.find_outcome(f"quote {name}") for name in ("AAPL", "MSFT", "NVDA")]
    put_back = desk.wanted.take(lane=Lane.SCHEDULED, limit=9)
    assert done.served == 3
    assert outcomes.count(None) == 2
    assert len(put_back) == 2


class PeopleFirst(CallBudget):
    """Lets no schedule call before somebody has who wants the same right then."""

    def __init__(self, client: Client, come: Callable[[], None]) -> None:
        super().__init__(client, name="finnhub", limits=Limits(60_000, 1000))
        self._come = come
        self._has_called = False

    def take(self, lane: Lane, *, now_ms: int | None = None) -> float:
        """Refuse a schedule for a moment, and have somebody come."""
        if lane is Lane.SCHEDULED and not self._has_called:
            self._come()
            return 0.01
        self._has_called = True
        return super().take(lane, now_ms=now_ms)


def test_people_do_not_wait_for_a_schedule_that_waits_for_the_same(
    desk: Desk, valkey: Valkey
) -> None:
    budget = PeopleFirst(redis.connect(valkey.url(2)), lambda: want(desk, "quote AAPL"))
    want(desk, "quote AAPL", lane=Lane.SCHEDULED)

    drain(replace(desk, budget=budget), run_s=PATIENT_S)

    assert desk.wanted.find_outcome("quote AAPL") == {"code": "ok"}
    assert budget.look().granted == {
        Lane.INTERACTIVE: 1, Lane.SCHEDULED: 0, Lane.BACKFILL: 0
    }  # fmt: skip


def test_a_company_is_stored_and_published(desk: Desk, database: Database) -> None:
    outcome = serve(desk, "company AAPL")

    assert outcome == {"code": "ok"}
    assert list_events(database) == [("company.updated", "companies/AAPL")]


def test_news_are_stored_and_published_once_for_overlapping_days(
    desk: Desk, database: Database
) -> None:
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in (60, 40, 20, 10)]

    serve(desk, f"news AAPL {days[0]} {days[2]}", f"news AAPL {days[1]} {days[3]}")

    events = list_events(database)
    assert events
    assert len(events) == len(set(events)) == count(database, News)


def test_general_news_are_stored(desk: Desk, database: Database) -> None:
    assert serve(desk, "news general") == {"code": "ok"}
    assert count(database, News) > 0


def test_rates_come_from_pairs_where_the_plan_lacks_the_table(
    desk: Desk, sandbox: Sandbox, database: Database
) -> None:
    outcome = serve(desk, "forex USD")

    document = desk.cache.find("market:answer:forex USD")
    assert outcome == {"code": "ok"}
    assert document is not None
    assert (document["via"], document["complete"]) == ("/quote", True)
    assert count(database, ForexRate) == len(forex.PAIRS) + 1
    assert ("forex.updated", "forex/USD") in list_events(database)
    assert sandbox.calls("finnhub", path="/quote") == len(forex.PAIRS)


def test_the_missing_table_is_asked_for_once_in_an_hour(desk: Desk, sandbox: Sandbox) -> None:
    serve(desk, "forex USD")
    serve(desk, "forex EUR")

    assert sandbox.calls("finnhub", path="/forex/rates") == 1
    assert sandbox.calls("finnhub", path="/quote") == len(forex.PAIRS)


def test_rates_come_from_the_table_where_the_plan_has_it(
    desk: Desk, switch: Callable[..., None], sandbox: Sandbox
) -> None:
    switch("premium", enabled=True)

    serve(desk, "forex USD")

    document = desk.cache.find("market:answer:forex USD")
    assert document is not None
    assert document["via"] == "/forex/rates"
    assert sandbox.calls("finnhub") == 1


def test_a_small_budget_gives_some_rates_now_and_wants_the_rest_in_the_background(
    make_desk: Callable[..., Desk], database: Database
) -> None:
    desk = make_desk(database, per_minute=60)

    outcome = serve(desk, "forex USD")

    document = desk.cache.find("market:answer:forex USD")
    assert outcome == {"code": "ok"}
    assert document is not None
    assert document["complete"] is False


def test_what_the_stream_of_trades_keeps_fresh_is_served_where_the_plan_lacks_it(
    desk: Desk, sandbox: Sandbox, database: Database
) -> None:
    sandbox.fault("finnhub", "no_access")
    now = datetime.now(UTC)
    for symbol, age_s in (("BINANCE:BTCUSDT", 5), ("BINANCE:ETHUSDT", 500)):
        at = now - timedelta(seconds=age_s)
        with database.sessions.begin() as session:
            quotes.save(
                session, symbol=symbol, figures=make_figures(at), source="simulated", now=at
            )

    assert serve(desk, "quote BINANCE:BTCUSDT") == {"code": "ok"}
    assert serve(desk, "quote BINANCE:ETHUSDT")["code"] == "no_access"


def test_what_describes_the_market_is_kept(
    desk: Desk, sandbox: Sandbox, database: Database
) -> None:
    names = ["status US", "holidays US", "symbols binance", "symbols oanda"]

    outcomes = [serve(desk, name) for name in names]

    hours = Hours()
    with database.reads() as session:
        references.read_hours(session, hours)
        coins = references.list_symbols(session, "binance")
        kept = references.map_fetched_at(session, names)
    assert outcomes == [{"code": "ok"}] * 4
    assert kept.keys() == set(names)
    assert hours.told is not None
    # At the instant it was told: the word ends with the session of the clock.
    assert hours.session(SymbolClass.EQUITY, hours.told.at) is TradingSession.REGULAR
    assert len(hours.calendar.listed) > 20
    assert "BINANCE:BTCUSDT" in {coin.symbol for coin in coins}


def test_a_glitch_leaves_the_holidays_as_they_were(
    desk: Desk, sandbox: Sandbox, database: Database, valkey: Valkey
) -> None:
    serve(desk, "holidays US")
    forget_outcomes(valkey)
    sandbox.fault("finnhub", "garbage")

    outcome = serve(desk, "holidays US")

    with database.reads() as session:
        assert references.find(session, "holidays US") is not None
    assert outcome["code"] == "market_unavailable"


def test_a_search_finds_coins_of_the_lists_too(desk: Desk) -> None:
    serve(desk, "symbols binance")

    serve(desk, "search BTC%2FUSDT")

    found = desk.cache.find("market:answer:search BTC%2FUSDT")
    assert found is not None
    assert found["query"] == "BTC/USDT"
    assert [match["symbol"] for match in found["result"]] == ["BINANCE:BTCUSDT"]  # type: ignore[attr-defined] # a list


def test_an_unknown_exchange_costs_nothing(desk: Desk, sandbox: Sandbox) -> None:
    assert serve(desk, "symbols nyse")["code"] == "unknown_symbol"
    assert sandbox.calls("finnhub") == 0


def test_an_unknown_currency_is_told(desk: Desk) -> None:
    assert serve(desk, "forex XXX")["code"] == "unknown_symbol"


def test_what_cannot_be_stored_is_not_cached(make_desk: Callable[..., Desk]) -> None:
    nowhere = open_database(f"mysql+pymysql://root@127.0.0.1:{free_port()}/tradepost")
    desk = make_desk(nowhere)

    outcome = serve(desk, "quote AAPL")

    assert outcome["code"] == "database_unavailable"
    assert desk.cache.find("market:answer:quote AAPL") is None


def test_a_foreign_want_does_not_stop_the_others(desk: Desk) -> None:
    assert serve(desk, "what is this", "", "quote AAPL") == {"code": "ok"}


def test_without_redis_nothing_is_called(desk: Desk, sandbox: Sandbox, valkey: Valkey) -> None:
    want(desk, "quote AAPL")
    valkey.kill()

    done = drain(desk)

    assert done.served == 0
    assert sandbox.calls("finnhub") == 0


def test_who_listens_hears_the_outcome(desk: Desk, valkey: Valkey) -> None:
    with valkey.client(2) as client, client.pubsub() as ear:
        ear.subscribe("market:outcome")
        eventually(lambda: ear.get_message(timeout=1))

        serve(desk, "quote AAPL")

        message = eventually(lambda: ear.get_message(timeout=1))
    assert message["type"] == "message"
    assert orjson.loads(message["data"]) == {"want": "quote AAPL", "outcome": {"code": "ok"}}


def test_forged_wants_cost_neither_calls_nor_the_others(
    desk: Desk, sandbox: Sandbox, valkey: Valkey
) -> None:
    with valkey.client(2) as client:
        client.sadd(
            "market:wanted",
            b"\xff\xfe", "", "quote", "no.such.kind AAPL", "quote ../../admin/faults",
            "quote AAPL&token=x", "quote AAPL\r\nX: y", f"quote {'A' * 100_000}",
        )  # fmt: skip

    outcome = serve(desk, "quote AAPL")

    assert outcome == {"code": "ok"}
    assert sandbox.calls_by_symbol() == {"AAPL": 1}
