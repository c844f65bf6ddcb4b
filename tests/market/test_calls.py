from collections.abc import Callable, Iterator

import pytest

from infra import redis
from infra.redis import Client
from infra.sharing.budget import CallBudget, Lane, Limits
from infra.sharing.refusals import Refusals
from market.calls import ON_THE_WAY_S, Calls
from market.entitlements import Errand, Plan, plan_class
from market.finnhub import Finnhub
from market.shapes import Figures
from market.upstream import (
    FinnhubHiccup,
    FinnhubUnavailable,
    KeyRefused,
    NoAccess,
    OverBudget,
    RateLimited,
    UpstreamFailed,
)
from tests.market.conftest import PATIENT_S
from tests.support.processes import free_port
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

Ask = Callable[..., Figures]


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Client]:
    with redis.connect(valkey.url(2)) as client:
        yield client


@pytest.fixture
def budget(client: Client) -> CallBudget:
    return CallBudget(client, name="finnhub", limits=Limits(60_000, 1000))


@pytest.fixture
def ask(client: Client, budget: CallBudget, finnhub: Finnhub) -> Ask:
    """Asks for a quote as one want does, each time as a process that knows nothing yet."""

    def ask(
        symbol: str = "AAPL", *, of: Finnhub = finnhub, on_the_way_s: float = PATIENT_S
    ) -> Figures:
        plan = Plan(Refusals(client, name="market"))
        calls = Calls(budget, plan, lane=Lane.INTERACTIVE, on_the_way_s=on_the_way_s)
        errand = Errand.about_symbol("/quote", symbol)
        return calls.make(errand, lambda left_s: of.quote(symbol, within_s=left_s))

    return ask


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_failed_on_the_way_is_tried_once_more(
    ask: Ask, sandbox: Sandbox, budget: CallBudget, status: int
) -> None:
    sandbox.fault("finnhub", "html", times=1, status=status)

    figures = ask()

    spending = budget.look()
    assert figures.price > 0
    assert sandbox.calls("finnhub") == spending.granted[Lane.INTERACTIVE] == 2
    assert spending.answered == {"finnhub_hiccup": 1, "ok": 1}


def test_a_second_failure_is_told(ask: Ask, sandbox: Sandbox) -> None:
    sandbox.fault("finnhub", "html", status=503)

    with pytest.raises(FinnhubHiccup):
        ask()

    assert sandbox.calls("finnhub") == 2


@pytest.mark.parametrize("fault", ["http_500", "http_429", "no_access", "garbage", "zeros"])
def test_what_another_try_would_not_mend_is_tried_once(
    ask: Ask, sandbox: Sandbox, fault: str
) -> None:
    sandbox.fault("finnhub", fault)

    with pytest.raises(Exception):  # noqa: B017, PT011 - which one, other tests say
        ask()

    assert sandbox.calls("finnhub") == 1


def test_a_dead_server_costs_two_calls(ask: Ask, key: str, budget: CallBudget) -> None:
    dead = Finnhub(f"http://127.0.0.1:{free_port()}", key=key)

    with pytest.raises(FinnhubHiccup):
        ask(of=dead)

    assert budget.look().granted[Lane.INTERACTIVE] == 2


def test_a_slow_answer_is_not_waited_for_longer_than_the_asker_does(
    ask: Ask, sandbox: Sandbox
) -> None:
    sandbox.fault("finnhub", "slow", delay_s=30)

    with pytest.raises(FinnhubUnavailable):
        ask(on_the_way_s=ON_THE_WAY_S)

    assert sandbox.calls("finnhub") == 1


def test_a_breach_pauses_for_as_long_as_the_provider_says(
    ask: Ask, budget: CallBudget, switch: Callable[..., None]
) -> None:
    switch("limits", per_minute=1)
    ask()

    with pytest.raises(RateLimited) as limited:
        ask()
    with pytest.raises(OverBudget):
        ask()

    spending = budget.look()
    assert 20 <= limited.value.retry_after_s <= 61
    assert 20 <= spending.paused_s <= 61
    assert spending.reason == "rate_limited"


def test_a_refused_key_stops_all_calls_for_a_minute(
    ask: Ask, sandbox: Sandbox, budget: CallBudget
) -> None:
    with pytest.raises(KeyRefused):
        ask(of=Finnhub(sandbox.finnhub_url, key=""))
    with pytest.raises(OverBudget):
        ask()

    assert budget.look().reason == "key_refused"


def refuse(ask: Ask, sandbox: Sandbox, symbol: str) -> None:
    sandbox.fault("finnhub", "no_access", times=1)
    with pytest.raises(UpstreamFailed):
        ask(symbol)


def test_a_class_of_which_two_symbols_are_refused_is_not_asked_for_again(
    ask: Ask, sandbox: Sandbox
) -> None:
    for symbol in ("BINANCE:BTCUSDT", "BINANCE:ETHUSDT"):
        refuse(ask, sandbox, symbol)

    with pytest.raises(NoAccess) as closed:
        ask("BINANCE:SOLUSDT")
    figures = ask("AAPL")

    assert figures.price > 0
    assert sandbox.calls("finnhub") == 3
    assert 3500 <= closed.value.retry_after_s <= 3600


def test_one_refused_symbol_says_nothing_of_the_others(ask: Ask, sandbox: Sandbox) -> None:
    refuse(ask, sandbox, "AAPL")

    assert ask("MSFT").price > 0


def test_a_class_that_was_served_is_not_closed_by_refusals(ask: Ask, sandbox: Sandbox) -> None:
    ask("AAPL")
    for symbol in ("MSFT", "NVDA", "TSLA"):
        refuse(ask, sandbox, symbol)

    assert ask("AMZN").price > 0


def test_a_premium_endpoint_is_closed_by_its_first_refusal(
    client: Client, finnhub: Finnhub, sandbox: Sandbox, budget: CallBudget
) -> None:
    errand = Errand.about("/forex/rates", "USD")
    for _ in range(2):
        plan = Plan(Refusals(client, name="market"))
        calls = Calls(budget, plan, lane=Lane.SCHEDULED, on_the_way_s=PATIENT_S)
        with pytest.raises(NoAccess):
            calls.make(errand, lambda left_s: finnhub.forex_rates("USD", within_s=left_s))

    assert sandbox.calls("finnhub") == 1
    assert [one.what for one in Refusals(client, name="market").list_closed()] == [errand.what]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("AAPL", "equity:US"),
        ("BRK.B", "equity:US"),
        ("SAP.DE", "equity:DE"),
        ("VOD.L", "equity:L"),
        ("OANDA:EUR_USD", "forex:OANDA"),
        ("BINANCE:BTCUSDT", "crypto:BINANCE"),
    ],
)
def test_plans_are_made_by_country_and_exchange(symbol: str, name: str) -> None:
    assert plan_class(symbol) == name
