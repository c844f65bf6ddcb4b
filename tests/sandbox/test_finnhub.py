"""Finnhub's HTTP interface: the shapes, the key, the limits, what is premium, and its faults."""

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.processes import eventually

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming

NO_QUOTE = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
PREMIUM = [
    "/forex/rates?base=USD",
    "/forex/candle?symbol=OANDA:EUR_USD&resolution=D&from=1790000000&to=1795000000",
    "/crypto/candle?symbol=BINANCE:BTCUSDT&resolution=60&from=1794900000&to=1795000000",
    "/crypto/profile?symbol=BTC",
    "/stock/candle?symbol=AAPL&resolution=W&from=1780000000&to=1795000000",
]


def ask(finnhub: httpx.Client, path: str) -> Any:
    answer = finnhub.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("symbol", ["AAPL", "BRK.B", "OANDA:EUR_USD", "BINANCE:BTCUSDT"])
def test_quote_agrees_with_itself(finnhub: httpx.Client, symbol: str) -> None:
    began_s = int(time.time())

    quote = ask(finnhub, f"/quote?symbol={symbol}")

    assert set(quote) == {"c", "d", "dp", "h", "l", "o", "pc", "t"}
    assert quote["l"] <= min(quote["c"], quote["o"])
    assert quote["h"] >= max(quote["c"], quote["o"])
    assert quote["d"] == pytest.approx(quote["c"] - quote["pc"], abs=1e-6)
    assert quote["dp"] == pytest.approx(quote["d"] / quote["pc"] * 100, abs=1e-3)
    assert began_s <= quote["t"] <= time.time()


@pytest.mark.parametrize("symbol", ["NOPE", "aapl", "../..", "A" * 1000, "AAPL%0d%0a"])
def test_unknown_symbol_is_all_zeros(finnhub: httpx.Client, symbol: str) -> None:
    assert ask(finnhub, f"/quote?symbol={symbol}") == NO_QUOTE
    assert ask(finnhub, f"/stock/profile2?symbol={symbol}") == {}


def test_calls_are_counted_by_symbol(finnhub: httpx.Client) -> None:
    for symbol in ("AAPL", "AAPL", "MSFT"):
        ask(finnhub, f"/quote?symbol={symbol}")

    counted = finnhub.get("/admin/calls").json()

    assert counted["by_path"] == {"/quote": 3}
    assert counted["by_symbol"] == {"AAPL": 2, "MSFT": 1}


def test_profile_has_the_known_shape(finnhub: httpx.Client) -> None:
    profile = ask(finnhub, "/stock/profile2?symbol=AAPL")

    assert sorted(profile) == [
        "country",
        "currency",
        "exchange",
        "finnhubIndustry",
        "ipo",
        "logo",
        "marketCapitalization",
        "name",
        "phone",
        "shareOutstanding",
        "ticker",
        "weburl",
    ]
    assert (profile["ticker"], profile["name"]) == ("AAPL", "Apple Inc")


def test_company_news_keeps_to_its_dates(finnhub: httpx.Client) -> None:
    day_s = 86_400
    now = time.time()
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(now - n * day_s)) for n in (60, 30))

    articles = ask(finnhub, f"/company-news?symbol=AAPL&from={first}&to={last}")

    dates = [time.strftime("%Y-%m-%d", time.gmtime(it["datetime"])) for it in articles]
    assert dates == sorted(dates, reverse=True)
    assert first <= min(dates) <= max(dates) <= last
    assert len({it["id"] for it in articles}) == len(articles)
    assert {it["related"] for it in articles} == {"AAPL"}
    assert list(articles[0]) == [
        "category",
        "datetime",
        "headline",
        "id",
        "image",
        "related",
        "source",
        "summary",
        "url",
    ]


def test_some_news_are_longer_than_a_column(finnhub: httpx.Client) -> None:
    now = time.time()
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(now - n * 86_400)) for n in (300, 1))

    articles = ask(finnhub, f"/company-news?symbol=AAPL&from={first}&to={last}")

    assert any(len(it["headline"]) > 255 and len(it["url"]) > 255 for it in articles)


@pytest.mark.parametrize(
    "path",
    [
        "/company-news?symbol=NOPE&from=2026-01-01&to=2026-12-31",
        "/company-news?symbol=AAPL&from=2026-06-30&to=2026-06-01",
        "/company-news?symbol=AAPL&from=2001-01-01&to=2001-12-31",
    ],
)
def test_no_news_is_an_empty_list(finnhub: httpx.Client, path: str) -> None:
    assert ask(finnhub, path) == []


@pytest.mark.parametrize("category", ["general", "forex", "crypto", "merger"])
def test_market_news_can_be_read_on_from_an_id(finnhub: httpx.Client, category: str) -> None:
    articles = ask(finnhub, f"/news?category={category}")

    newer = ask(finnhub, f"/news?category={category}&minId={articles[3]['id']}")

    assert [it["id"] for it in newer][-3:] == [it["id"] for it in articles[:3]]
    assert {it["category"] for it in articles} == {category}


@pytest.mark.parametrize(
    ("path", "row"),
    [
        (
            "/forex/symbol?exchange=oanda",
            {
                "description": "Oanda EUR/USD",
                "displaySymbol": "EUR/USD",
                "symbol": "OANDA:EUR_USD",
            },
        ),
        (
            "/crypto/symbol?exchange=binance",
            {
                "description": "Binance LTCBTC",
                "displaySymbol": "LTC/BTC",
                "symbol": "BINANCE:LTCBTC",
            },
        ),
        ("/forex/exchange", "oanda"),
        ("/crypto/exchange", "binance"),
        ("/stock/peers?symbol=NVDA", "AMD"),
    ],
)
def test_list_contains(finnhub: httpx.Client, path: str, row: object) -> None:
    assert row in ask(finnhub, path)


def test_thirty_stocks_and_more_are_known_and_quoted(finnhub: httpx.Client) -> None:
    finnhub.post("/admin/limits", json={"per_minute": None, "per_second": None})
    symbols = [row["symbol"] for row in ask(finnhub, "/stock/symbol?exchange=US")]

    prices = [ask(finnhub, f"/quote?symbol={symbol}")["c"] for symbol in symbols]

    assert len(symbols) >= 30
    assert min(prices) > 0


def test_search_finds_by_name(finnhub: httpx.Client) -> None:
    found = ask(finnhub, "/search?q=apple")

    row = {
        "description": "APPLE INC",
        "displaySymbol": "AAPL",
        "symbol": "AAPL",
        "type": "Common Stock",
    }
    assert found == {"count": 1, "result": [row]}


def test_exchange_is_open_unless_told_otherwise(finnhub: httpx.Client) -> None:
    opened = ask(finnhub, "/stock/market-status?exchange=US")
    finnhub.post("/admin/market", json={"hours": "closed"})
    closed = ask(finnhub, "/stock/market-status?exchange=US")

    assert sorted(opened) == ["exchange", "holiday", "isOpen", "session", "t", "timezone"]
    assert (opened["isOpen"], opened["session"]) == (True, "regular")
    assert (closed["isOpen"], closed["session"]) == (False, None)


def test_holidays_have_the_known_shape(finnhub: httpx.Client) -> None:
    holidays = ask(finnhub, "/stock/market-holiday?exchange=US")

    assert (holidays["exchange"], holidays["timezone"]) == ("US", "America/New_York")
    assert {"atDate": "2026-12-25", "eventName": "Christmas", "tradingHour": ""} in holidays["data"]


@pytest.mark.parametrize(
    "path",
    [
        "/stock/metric?symbol=AAPL",
        "/stock/metric?symbol=NOPE",
        "/calendar/earnings?from=2026-11-01&to=2026-11-30",
        "/calendar/ipo?from=2026-11-01&to=2026-11-30",
        "/country",
    ],
)
def test_free_endpoint_answers(finnhub: httpx.Client, path: str) -> None:
    assert ask(finnhub, path)


@pytest.mark.parametrize(
    "path",
    [
        "/quote",
        "/company-news?symbol=AAPL",
        "/company-news?symbol=AAPL&from=x&to=2026-01-01",
        "/news?category=weather",
        "/news?category=general&minId=x",
        "/stock/market-status?exchange=MOON",
        "/search?q=",
    ],
)
def test_unusable_parameters_are_refused(finnhub: httpx.Client, path: str) -> None:
    answer = finnhub.get(f"/api/v1{path}")

    assert answer.status_code == 422
    assert set(answer.json()) == {"error"}


def test_key_is_taken_from_header_or_query(finnhub: httpx.Client) -> None:
    base = f"{finnhub.base_url}/api/v1/quote?symbol=AAPL"

    statuses = [
        httpx.get(url, headers=headers, trust_env=False).status_code
        for url, headers in (
            (base, {"x-finnhub-token": "any"}),
            (f"{base}&token=any", {}),
            (base, {}),
            (f"{base}&token=", {}),
        )
    ]

    assert statuses == [200, 200, 401, 401]


def test_key_has_its_calls_a_minute_and_none_of_another_key(finnhub: httpx.Client) -> None:
    finnhub.post("/admin/limits", json={"per_minute": 3, "per_second": None})

    answers = [finnhub.get("/api/v1/country") for _ in range(4)]
    other = finnhub.get("/api/v1/country", headers={"x-finnhub-token": "another"})

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[3].json() == {
        "error": "API limit reached. Please try again later. Remaining Limit: 0"
    }
    assert other.status_code == 200


def test_limits_can_be_lifted(finnhub: httpx.Client) -> None:
    finnhub.post("/admin/limits", json={"per_minute": None, "per_second": None})

    statuses = {finnhub.get("/api/v1/country").status_code for _ in range(70)}

    assert statuses == {200}


def test_refused_calls_are_counted_apart(finnhub: httpx.Client) -> None:
    finnhub.post("/admin/limits", json={"per_minute": 1, "per_second": None})

    for _ in range(3):
        finnhub.get("/api/v1/country")

    shown = finnhub.get("/admin/limits").json()
    assert shown == {"per_minute": 1, "per_second": None, "refused": 2}


@pytest.mark.parametrize("limits", [{"per_minute": 0}, {"per_minute": "1"}, {"per_hour": 1}])
def test_impossible_limits_are_refused(finnhub: httpx.Client, limits: dict[str, object]) -> None:
    assert finnhub.post("/admin/limits", json=limits).status_code == 422


@pytest.mark.parametrize("path", PREMIUM)
def test_premium_endpoint_is_closed_until_opened(finnhub: httpx.Client, path: str) -> None:
    closed = finnhub.get(f"/api/v1{path}")
    finnhub.post("/admin/premium", json={"enabled": True})
    opened = finnhub.get(f"/api/v1{path}")

    assert closed.status_code == 403
    assert closed.json() == {"error": "You don't have access to this resource."}
    assert opened.status_code == 200
    assert opened.json().get("s", "ok") == "ok"


def test_forex_rates_cross_one_base(finnhub: httpx.Client) -> None:
    finnhub.post("/admin/premium", json={"enabled": True})

    def agree() -> bool:
        rates = ask(finnhub, "/forex/rates?base=EUR")["quote"]
        dollars = ask(finnhub, "/quote?symbol=OANDA:EUR_USD")["c"]
        return bool(rates["EUR"] == 1 and rates["USD"] == pytest.approx(dollars, rel=1e-3))

    # Asked for within seconds of each other: prices go on, and jump at midnight.
    eventually(agree)
    assert ask(finnhub, "/forex/rates?base=XXX") == {"base": "XXX", "quote": {}}


def test_candles_without_data_say_so(finnhub: httpx.Client) -> None:
    finnhub.post("/admin/premium", json={"enabled": True})

    unknown = ask(finnhub, "/stock/candle?symbol=NOPE&resolution=D&from=0&to=1795000000")
    reversed_dates = ask(finnhub, "/stock/candle?symbol=AAPL&resolution=5&from=1795000000&to=5")

    assert unknown == reversed_dates == {"s": "no_data"}


def test_zeros_make_a_known_symbol_unknown(finnhub: httpx.Client, arm: "Arming") -> None:
    arm(finnhub, "zeros", match={"symbol": "AAPL", "path": "/api/v1/quote"}, times=1)

    quotes = [ask(finnhub, f"/quote?symbol={symbol}") for symbol in ("MSFT", "AAPL", "AAPL")]

    assert [quote == NO_QUOTE for quote in quotes] == [False, True, False]


def test_no_access_is_a_403(finnhub: httpx.Client, arm: "Arming") -> None:
    arm(finnhub, "no_access", match={"symbol": "OANDA:EUR_USD"})

    refused = finnhub.get("/api/v1/quote?symbol=OANDA:EUR_USD")

    assert refused.status_code == 403
    assert ask(finnhub, "/quote?symbol=AAPL")["c"] > 0


@pytest.mark.parametrize("offset_s", [-3600, 3600])
def test_time_of_a_quote_can_be_wrong(finnhub: httpx.Client, arm: "Arming", offset_s: int) -> None:
    arm(finnhub, "stale_time", times=1, offset_s=offset_s)
    began_s = int(time.time())

    quote = ask(finnhub, "/quote?symbol=AAPL")

    assert began_s <= quote["t"] - offset_s <= time.time()


def test_429_fault_speaks_like_the_limit(finnhub: httpx.Client, arm: "Arming") -> None:
    arm(finnhub, "http_429", times=1)

    answer = finnhub.get("/api/v1/quote?symbol=AAPL")

    assert answer.status_code == 429
    assert "API limit reached" in answer.json()["error"]
    assert "retry-after" not in answer.headers


def test_switches_refuse_what_they_do_not_know(finnhub: httpx.Client) -> None:
    premium = finnhub.post("/admin/premium", json={"enabled": "yes"})
    hours = finnhub.post("/admin/market", json={"hours": "lunch"})

    assert (premium.status_code, hours.status_code) == (422, 422)
