import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from infra import redis
from infra.companion import beside
from infra.db import Database
from infra.errors import AppError
from infra.sharing.asking import Asking
from market import news
from market.drain import drain
from market.models import Quote
from market.news import Span
from market.outcomes import MarketUnavailable
from market.questions import Market
from market.reading import MarketTimedOut, TooManyNewSymbols
from market.refresh import Desk
from market.upstream import UnknownSymbol, UpstreamFailed
from tests.market.conftest import PATIENT_S
from tests.support.processes import eventually
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

TODAY = datetime.now(UTC).date()
LAST_MONTH = Span(TODAY - timedelta(days=30), TODAY)


@pytest.fixture
async def make_market(
    desk: Desk, database: Database, valkey: Valkey
) -> AsyncIterator[Callable[..., Awaitable[Market]]]:
    """Builds what one API process has; ringing runs the worker's work on the spot."""
    opened = AsyncExitStack()

    async def make(
        ring: Callable[[], object] = lambda: drain(desk),
        *,
        budget_waits_s: float = 0.0,
        asker_waits_s: float = PATIENT_S,
    ) -> Market:
        client = redis.connect_async(valkey.url(2))
        before = list_ears(valkey)  # those of tests before may not be gone yet
        asking = Asking(client, name="market", ring=lambda: void(ring()))
        opened.push_async_callback(client.aclose)
        await opened.enter_async_context(beside(asking.listen()))
        await asyncio.to_thread(eventually, lambda: list_ears(valkey) - before)
        return Market(
            asking=asking,
            reads=database.reads,
            find_wait_s=lambda: budget_waits_s,
            asker_waits_s=asker_waits_s,
        )

    async with opened:
        yield make


@pytest.fixture
async def market(make_market: Callable[..., Awaitable[Market]]) -> Market:
    return await make_market()


def void(_result: object) -> None:
    """Take no notice."""


async def quote(market: Market, symbol: str = "AAPL", **asked: Any) -> dict[str, Any]:
    shown: dict[str, Any] = orjson.loads(
        (await market.quote(symbol, **{"max_age_s": 30, "asker": None, **asked})).body
    )
    return shown


def list_ears(valkey: Valkey) -> set[str]:
    """List the connections that listen to anything."""
    with valkey.client(2) as client:
        return {ear["id"] for ear in client.client_list(_type="pubsub")}


def forget_answers(valkey: Valkey) -> None:
    with valkey.client(2) as client:
        client.flushdb()


async def test_a_cold_question_is_answered_by_one_refresh(market: Market, sandbox: Sandbox) -> None:
    shown = await quote(market)

    assert shown["symbol"] == "AAPL"
    assert shown["stale"] is False
    assert sandbox.calls("finnhub") == 1


async def test_fifty_at_once_cause_one_call(market: Market, sandbox: Sandbox) -> None:
    shown = await asyncio.gather(*(quote(market) for _ in range(50)))

    assert len({one["c"] for one in shown}) == 1
    assert sandbox.calls("finnhub") == 1


async def test_askers_of_several_processes_cause_one_call(
    make_market: Callable[..., Awaitable[Market]], sandbox: Sandbox
) -> None:
    markets = [await make_market() for _ in range(3)]

    await asyncio.gather(*(quote(market) for market in markets for _ in range(20)))

    assert sandbox.calls("finnhub") == 1


async def test_the_second_question_is_answered_from_memory(market: Market) -> None:
    await quote(market)

    assert market.find_quote("AAPL", max_age_s=30) is not None
    assert market.find_quote("AAPL", max_age_s=0) is None


async def test_another_process_answers_from_the_cache(
    make_market: Callable[..., Awaitable[Market]], sandbox: Sandbox
) -> None:
    first, second = await make_market(), await make_market()
    await quote(first)

    await quote(second)

    assert sandbox.calls("finnhub") == 1


@pytest.mark.parametrize("kind", ["string", "list"])
async def test_what_somebody_else_wrote_into_the_cache_is_asked_for_anew(
    market: Market, sandbox: Sandbox, valkey: Valkey, kind: str
) -> None:
    with valkey.client(2) as client:
        for key in ("market:answer:quote AAPL", "market:outcome:quote AAPL"):
            if kind == "list":
                client.rpush(key, "forged")
            else:
                client.set(key, '{"symbol": "AAPL", "retry_after_s": [], "code": "forged"}')

    with suppress(UpstreamFailed):
        await quote(market)
    with valkey.client(2) as client:
        client.publish("market:outcome", '{"want": ["quote AAPL"], "outcome": 7}')
        client.delete("market:outcome:quote AAPL")
    shown = await quote(market)

    assert (shown["symbol"], shown["stale"]) == ("AAPL", False)
    assert sandbox.calls("finnhub") == 1


async def test_an_unknown_symbol_is_told_again_without_a_call(
    market: Market, sandbox: Sandbox
) -> None:
    for _ in range(2):
        with pytest.raises(UnknownSymbol):
            await quote(market, "NOPE")

    assert sandbox.calls("finnhub") == 1


async def test_while_the_provider_is_down_the_stored_answer_is_stale(
    market: Market, sandbox: Sandbox, valkey: Valkey
) -> None:
    fresh = await quote(market)
    forget_answers(valkey)
    sandbox.fault("finnhub", "http_500")

    shown = await quote(market, max_age_s=0)

    assert (shown["stale"], shown["source"]) == (True, "stored")
    assert shown["c"] == fresh["c"]


async def test_zeros_for_a_known_symbol_are_a_glitch(
    market: Market, sandbox: Sandbox, valkey: Valkey, database: Database
) -> None:
    await quote(market)
    forget_answers(valkey)
    sandbox.fault("finnhub", "zeros")

    shown = await quote(market, max_age_s=0)

    assert shown["stale"] is True
    with database.reads() as session:
        assert len(list(session.scalars(sa.select(Quote)))) == 1


@pytest.mark.parametrize("fault", ["http_500", "garbage", "no_access", "http_429"])
async def test_with_nothing_stored_a_failure_says_when_to_come_again(
    market: Market, sandbox: Sandbox, fault: str
) -> None:
    sandbox.fault("finnhub", fault)

    with pytest.raises(UpstreamFailed) as failed:
        await quote(market)

    assert failed.value.retry_after_s >= 1


async def test_when_no_worker_comes_the_asker_is_not_kept_for_ever(
    make_market: Callable[..., Awaitable[Market]],
) -> None:
    late = await make_market(ring=lambda: None, asker_waits_s=0.2)
    poor = await make_market(ring=lambda: None, asker_waits_s=0.2, budget_waits_s=6.2)

    asked = (quote(late), quote(poor))
    timed_out, over_budget = list(await asyncio.gather(*asked, return_exceptions=True))

    assert isinstance(timed_out, MarketTimedOut)
    assert isinstance(over_budget, MarketUnavailable)
    assert (over_budget.extra["reason"], over_budget.retry_after_s) == ("over_budget", 7)


async def test_without_redis_the_stored_answer_is_stale(market: Market, valkey: Valkey) -> None:
    await quote(market)
    valkey.kill()

    shown = await quote(market, max_age_s=0)

    assert (shown["stale"], shown["source"]) == (True, "stored")


async def test_without_redis_and_store_it_is_unavailable(market: Market, valkey: Valkey) -> None:
    valkey.kill()

    with pytest.raises(AppError) as failed:
        await quote(market)

    assert failed.value.code == "redis_unavailable"


async def test_the_ear_hears_again_after_redis_was_away(
    market: Market, valkey: Valkey, sandbox: Sandbox
) -> None:
    valkey.kill()
    valkey.start()

    shown = await quote(market)

    assert shown["stale"] is False


async def test_a_stranger_may_ask_for_ten_new_symbols_a_minute(
    market: Market, sandbox: Sandbox
) -> None:
    for n in range(10):
        with pytest.raises(UnknownSymbol):
            await quote(market, f"S{n}", asker="10.0.0.1")

    with pytest.raises(TooManyNewSymbols):
        await quote(market, "S10", asker="10.0.0.1")

    assert sandbox.calls("finnhub") == 10


async def test_other_strangers_and_known_symbols_are_not_counted(
    market: Market, valkey: Valkey
) -> None:
    await quote(market)
    with valkey.client(2) as client:
        client.sadd("market:asked:10.0.0.1", *(f"quote S{n}" for n in range(10)))
        client.delete("market:answer:quote AAPL", "market:outcome:quote AAPL")

    shown = await quote(market, asker="10.0.0.1")
    other = await quote(market, "MSFT", asker="10.0.0.2")

    assert shown["stale"] is other["stale"] is False


async def test_a_stranger_cannot_make_us_refresh_at_will(market: Market, sandbox: Sandbox) -> None:
    await quote(market)

    await quote(market, max_age_s=0, asker="10.0.0.1")

    assert sandbox.calls("finnhub") == 1


async def test_what_is_asked_for_is_noted(market: Market, desk: Desk) -> None:
    await quote(market)

    def is_noted() -> bool:
        return desk.wanted.list_recent(within_s=60, limit=9) == ["AAPL"]

    assert await asyncio.to_thread(eventually, is_noted)


async def test_a_company_is_told(market: Market) -> None:
    shown = await market.company("AAPL", asker=None)

    assert (shown["symbol"], shown["stale"]) == ("AAPL", False)


async def test_rates_are_told_with_where_they_come_from(market: Market) -> None:
    shown = await market.forex("USD", max_age_s=60, asker=None)

    assert (shown["base"], shown["via"], shown["source"]) == ("USD", "/quote", "simulated")


async def test_news_are_read_from_the_store(market: Market, sandbox: Sandbox) -> None:
    for _ in range(2):
        found = await market.news(
            "AAPL",
            LAST_MONTH,
            rows=lambda session: news.list_stored(
                session, feed="AAPL", span=LAST_MONTH, limit=5, below=None
            ),
            asker=None,
        )

    assert found.articles
    assert found.about["stale"] is False
    assert sandbox.calls("finnhub") == 1
