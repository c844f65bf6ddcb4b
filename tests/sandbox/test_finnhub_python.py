"""Finnhub's own Python client against the stand-in: nothing but its address is changed."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from finnhub import (  # type: ignore[import-untyped] # it has no types
    Client,
    FinnhubAPIException,
    FinnhubRequestException,
)
from requests import ReadTimeout

from tests.support.processes import eventually

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming, Stage

Call = Callable[[Any], Any]

PATIENT_S, IMPATIENT_S = 60, 0.3
UNLIMITED = {"per_minute": None, "per_second": None}
DAY_S = 86_400
NOW = int(time.time()) // 60 * 60
WEEK_AGO = time.strftime("%Y-%m-%d", time.gmtime(NOW - 7 * DAY_S))
TODAY = time.strftime("%Y-%m-%d", time.gmtime(NOW))

FREE: list[tuple[Call, set[str]]] = [
    (lambda it: it.quote("AAPL"), {"c", "d", "dp", "h", "l", "o", "pc", "t"}),
    (lambda it: it.company_profile2(symbol="AAPL"), {"ticker", "name", "marketCapitalization"}),
    (
        lambda it: it.company_news("AAPL", _from=WEEK_AGO, to=TODAY)[0],
        {"category", "datetime", "headline", "id", "image", "related", "source", "summary", "url"},
    ),
    (lambda it: it.general_news("general", min_id=0)[0], {"headline", "id"}),
    (lambda it: it.forex_symbols("OANDA")[0], {"description", "displaySymbol", "symbol"}),
    (lambda it: it.crypto_symbols("BINANCE")[0], {"description", "displaySymbol", "symbol"}),
    (lambda it: it.symbol_lookup("apple"), {"count", "result"}),
    (lambda it: it.symbol_lookup("apple")["result"][0], {"symbol", "type"}),
    (lambda it: it.stock_symbols("US")[0], {"currency", "figi", "mic", "symbol", "type"}),
    (lambda it: it.market_status(exchange="US"), {"isOpen", "session", "holiday", "t"}),
    (lambda it: it.market_holiday(exchange="US")["data"][0], {"atDate", "tradingHour"}),
    (lambda it: it.company_basic_financials("AAPL", "all"), {"metric", "metricType", "series"}),
    (lambda it: it.country()[0], {"code2", "currencyCode"}),
]
SPAN = {"_from": NOW - 7200, "to": NOW}
CANDLES: list[Call] = [
    lambda it: it.stock_candles("AAPL", "5", **SPAN),
    lambda it: it.crypto_candles("BINANCE:BTCUSDT", "1", **SPAN),
    lambda it: it.forex_candles("OANDA:EUR_USD", "30", **SPAN),
    lambda it: it.stock_candles("AAPL", "D", NOW - 30 * DAY_S, NOW),
]


def client_of(url: str, key: str) -> Any:
    client = Client(api_key=key)
    client.API_URL = f"{url}/api/v1"
    client.DEFAULT_TIMEOUT = PATIENT_S
    return client


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def official(finnhub: httpx.Client) -> Iterator[Any]:
    with client_of(str(finnhub.base_url), secrets.token_hex(8)) as client:
        yield client


@pytest.fixture
def open_plan(finnhub: httpx.Client) -> None:
    finnhub.post("/admin/premium", json={"enabled": True})


@pytest.mark.parametrize(("call", "keys"), FREE)
def test_free_call_is_answered(official: Any, call: Call, keys: set[str]) -> None:
    assert keys <= call(official).keys()


@pytest.mark.parametrize("call", CANDLES)
def test_premium_candles_are_columns_of_one_length(
    official: Any, open_plan: None, call: Call
) -> None:
    candles = call(official)

    assert candles.pop("s") == "ok"
    assert set(candles) == set("tohlcv")
    assert {len(column) for column in candles.values()} == {len(candles["t"])}
    assert len(candles["t"]) > 3


def test_premium_rates_are_by_currency(official: Any, open_plan: None) -> None:
    rates = official.forex_rates(base="USD")

    assert rates["base"] == "USD"
    assert {"USD", "EUR", "JPY"} <= rates["quote"].keys()


def test_candles_come_as_csv_too(official: Any, open_plan: None) -> None:
    text = official.forex_candles("OANDA:EUR_USD", "60", **SPAN, _format="csv")

    head, *rows = text.splitlines()
    assert head == "t,o,h,l,c,v"
    assert all(len(row.split(",")) == 6 for row in rows)


def test_calls_are_counted_by_the_plain_path(official: Any, finnhub: httpx.Client) -> None:
    official.quote("AAPL")

    assert finnhub.get("/admin/calls").json()["by_path"] == {"/quote": 1}


def test_unknown_symbol_is_zeros_and_nothing(official: Any) -> None:
    assert official.quote("NOPE")["c"] == 0
    assert official.company_profile2(symbol="NOPE") == {}
    assert official.company_news("NOPE", _from=WEEK_AGO, to=TODAY) == []


def test_call_without_a_key_is_refused(finnhub: httpx.Client) -> None:
    nobody = client_of(str(finnhub.base_url), "")

    with nobody, pytest.raises(FinnhubAPIException) as refused:
        nobody.quote("AAPL")

    assert refused.value.status_code == 401
    assert refused.value.message == "Please use an API key."


def test_premium_call_is_refused_on_a_free_plan(official: Any) -> None:
    with pytest.raises(FinnhubAPIException) as refused:
        official.forex_rates(base="USD")

    assert refused.value.status_code == 403
    assert refused.value.message == "You don't have access to this resource."


def test_call_beyond_the_limit_is_refused_with_what_is_left(
    official: Any, finnhub: httpx.Client
) -> None:
    finnhub.post("/admin/limits", json={"per_minute": 60, "per_second": None})
    for _ in range(60):
        official.country()

    with pytest.raises(FinnhubAPIException) as refused:
        official.country()

    headers = refused.value.response.headers
    assert refused.value.status_code == 429
    assert refused.value.message.startswith("API limit reached.")
    assert (headers["X-Ratelimit-Limit"], headers["X-Ratelimit-Remaining"]) == ("60", "0")
    assert 0 < int(headers["X-Ratelimit-Reset"]) - time.time() <= 62


def test_call_beyond_the_limit_of_a_second_is_refused(official: Any, finnhub: httpx.Client) -> None:
    finnhub.post("/admin/limits", json={"per_minute": None, "per_second": 1})

    def hurry() -> None:
        # Two of so many are made within a second, however slowly the machine goes.
        for _ in range(100):
            official.country()

    with pytest.raises(FinnhubAPIException, match="429"):
        hurry()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http_500", FinnhubAPIException),
        ("http_429", FinnhubAPIException),
        ("no_access", FinnhubAPIException),
        ("html", FinnhubRequestException),
        ("garbage", FinnhubRequestException),
        ("hang", ReadTimeout),
        ("slow", ReadTimeout),
    ],
)
def test_fault_reaches_the_caller_once(
    official: Any, finnhub: httpx.Client, arm: "Arming", fault: str, error: type[Exception]
) -> None:
    arm(finnhub, fault, times=1, match={"symbol": "AAPL"}, delay_s=PATIENT_S)
    official.DEFAULT_TIMEOUT = IMPATIENT_S if error is ReadTimeout else PATIENT_S

    with pytest.raises(error):
        official.quote("AAPL")

    official.DEFAULT_TIMEOUT = PATIENT_S
    assert official.quote("AAPL")["c"] > 0


def test_two_stand_ins_with_one_seed_tell_the_same(official: Any, own_stage: "Stage") -> None:
    with client_of(own_stage.url("finnhub"), "key") as other:
        for url in (own_stage.url("finnhub"), official.API_URL.removesuffix("/api/v1")):
            for what, told in (("premium", {"enabled": True}), ("limits", UNLIMITED)):
                httpx.post(
                    f"{url}/admin/{what}", json=told, trust_env=False, timeout=PATIENT_S
                ).raise_for_status()
        calls: list[Call] = [
            lambda it: it.crypto_candles("BINANCE:BTCUSDT", "1", NOW - 7200, NOW - 60),
            lambda it: it.stock_candles("MSFT", "D", NOW - 90 * DAY_S, NOW - DAY_S),
            lambda it: it.company_news("AAPL", _from="2026-03-01", to="2026-04-01"),
        ]

        for call in calls:
            assert call(official) == call(other)
        # Asked within one second, both tell the same present price too.
        eventually(lambda: official.quote("OANDA:EUR_USD") == other.quote("OANDA:EUR_USD"))
