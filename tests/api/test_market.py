from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.databases import CleanDatabase
from tests.support.fleet import Fleet
from tests.support.http import persistent_client, plain_client
from tests.support.processes import Nursery, eventually
from tests.support.sandbox import Sandbox
from tests.support.sse import is_followed
from tests.support.valkey import Valkey

STRANGER = {"X-Forwarded-For": "203.0.113.7"}


@pytest.fixture(scope="module")
def standing_sandbox(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    with nursery.group():
        sandbox = Sandbox(nursery, tmp_path_factory.mktemp("sandbox"))
        with plain_client(sandbox.finnhub_url.removesuffix("/api/v1")) as control:
            no_limits = {"per_minute": None, "per_second": None}
            control.post("/admin/limits", json=no_limits).raise_for_status()
        yield sandbox


@pytest.fixture(scope="module")
def api(
    nursery: Nursery,
    valkey_server: Valkey,
    _clean_database: CleanDatabase,
    standing_sandbox: Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """One API and one worker for all tests here; each test has symbols of its own."""
    valkey_server.revive()
    _clean_database.clean()
    env = {
        "DATABASE_URL": _clean_database.url,
        "BROKER_URL": valkey_server.url(0),
        "CACHE_URL": valkey_server.url(2),
        **standing_sandbox.env(),
        "AUTH_MODE": "open",
        "FINNHUB_PER_MINUTE": "60000",
        "FINNHUB_PER_SECOND": "1000",
    }
    with nursery.group():
        fleet = Fleet(nursery, env, tmp_path_factory.mktemp("fleet"))
        fleet.worker(["market", "events"], concurrency=1)
        url = fleet.api().url
        eventually(lambda: is_followed(url), what="the API follows the streams")
        # The API waits three seconds for its worker, which may have no turn for longer.
        with persistent_client(url) as client:
            yield client


@pytest.fixture
def finnhub(standing_sandbox: Sandbox) -> Sandbox:
    standing_sandbox.reset()
    return standing_sandbox


def test_a_quote_has_the_providers_keys_and_tells_its_age(
    api: httpx.Client, finnhub: Sandbox
) -> None:
    answer = api.get("/market/quote", params={"symbol": "aapl"})

    shown = answer.json()
    assert answer.status_code == 200
    assert {"c", "d", "dp", "h", "l", "o", "pc", "t"} <= shown.keys()
    assert (shown["symbol"], shown["source"], shown["stale"]) == ("AAPL", "simulated", False)
    assert 0 <= shown["age_s"] < 60


def test_from_memory_the_answer_is_the_same(api: httpx.Client, finnhub: Sandbox) -> None:
    first, second = (api.get("/market/quote", params={"symbol": "MSFT"}).json() for _ in range(2))

    assert list(first) == list(second)
    assert {**first, "age_s": 0} == {**second, "age_s": 0}
    assert finnhub.calls("finnhub") == 1


def test_memory_is_not_asked_for_what_is_too_old(api: httpx.Client, finnhub: Sandbox) -> None:
    for max_age_s in (30, 0):
        api.get("/market/quote", params={"symbol": "INTC", "max_age_s": max_age_s})
    fresh = api.get("/market/quote?symbol=intc&max_age_s=3600")

    assert fresh.json()["stale"] is False
    assert finnhub.calls("finnhub") == 1


def test_many_quotes_come_in_one_answer_and_each_fails_for_itself(
    api: httpx.Client, finnhub: Sandbox
) -> None:
    finnhub.fault("finnhub", "garbage", match={"symbol": "CSCO"})

    answer = api.get("/market/quotes", params={"symbols": "orcl,IBM,NOTHING, CSCO ,IBM"})

    shown = answer.json()
    assert [one["symbol"] for one in shown] == ["ORCL", "IBM", "NOTHING", "CSCO"]
    assert all({"c", "age_s", "as_of", "source", "stale", "session"} <= one.keys()
               for one in shown[:2])  # fmt: skip
    assert [one["error"]["status"] for one in shown[2:]] == [404, 503]
    assert shown[3]["error"]["retry_after_s"] >= 1
    assert finnhub.calls_by_symbol() == dict.fromkeys(["ORCL", "IBM", "NOTHING", "CSCO"], 1)


@pytest.mark.parametrize(
    "address",
    [
        "/market/quote?symbol=KO",
        "/market/quotes?symbols=KO,PEP",
        "/market/crypto?symbol=ETH",
        "/market/company?symbol=KO",
        "/market/forex?base=EUR",
        "/market/news?symbol=KO",
        "/market/search?q=coca",
        "/market/watchlist",
        "/market/watchlist/AAPL",
        "/market/history?symbol=PEP",
        "/market/candles?symbol=PEP",
    ],
)
def test_who_has_the_answer_is_told_that_it_is_still_the_same(
    api: httpx.Client, finnhub: Sandbox, address: str
) -> None:
    api.get("/market/quote?symbol=PEP")  # what is stored can be looked back at
    first = api.get(address)

    again = api.get(address, headers={"If-None-Match": f'"another", {first.headers["etag"]}'})
    other = api.get(address, headers={"If-None-Match": '"another"'})

    assert (first.status_code, again.status_code, other.status_code) == (200, 304, 200)
    assert again.content == b""
    for answer in (first, again):
        policy, _, life_s = answer.headers["cache-control"].partition("=")
        assert policy == "public, max-age"
        assert int(life_s) > int(answer.headers["age"]) >= 0


def test_fifty_cold_requests_at_once_cause_one_call(api: httpx.Client, finnhub: Sandbox) -> None:
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda _: api.get("/market/quote", params={"symbol": "NVDA"}), range(50))
        )

    assert {answer.status_code for answer in answers} == {200}
    assert finnhub.calls("finnhub") == 1


def test_a_refreshed_quote_reaches_the_stream(api: httpx.Client, finnhub: Sandbox) -> None:
    with api.stream("GET", "/events", params={"topics": "market.crypto"}) as stream:
        lines = stream.iter_lines()
        assert "event: ready" in next(lines)
        api.get("/market/crypto", params={"symbol": "BTC"})

        event = next(line for line in lines if line.startswith("event: ") and "ready" not in line)

    assert event == "event: crypto.updated"


def test_an_unknown_symbol_is_not_found(api: httpx.Client, finnhub: Sandbox) -> None:
    answer = api.get("/market/quote", params={"symbol": "NOPE"})

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unknown_symbol"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("quote", {}),
        ("quote", {"symbol": ""}),
        ("quote", {"symbol": "A" * 1000}),
        ("quote", {"symbol": "../.."}),
        ("quote", {"symbol": "AAPL\r\n"}),
        ("quote", {"symbol": "A\x00"}),
        ("quote", {"symbol": "AAPL", "max_age_s": "-1"}),
        ("quote", {"symbol": "AAPL", "max_age_s": "1e9"}),
        ("quote", {"symbol": "AAPL", "max_age_s": "86401"}),
        ("quote", {"symbol": "AAPL", "max_age_s": "\u0663"}),
        ("quote", {"symbol": "AAPL,MSFT"}),
        ("quotes", {}),
        ("quotes", {"symbols": ""}),
        ("quotes", {"symbols": ","}),
        ("quotes", {"symbols": "AAPL,,MSFT"}),
        ("quotes", {"symbols": "AAPL,../.."}),
        ("quotes", {"symbols": "AAPL,\u017f"}),
        ("quotes", {"symbols": ",".join(["AAPL"] * 101)}),
        ("quotes", {"symbols": "AAPL", "max_age_s": "-1"}),
        ("search", {}),
        ("search", {"q": " "}),
        ("search", {"q": "A" * 65}),
        ("search", {"q": "a\nb"}),
        ("search", {"q": "a\x00"}),
        ("search", {"q": "\u202eabc"}),
        ("search", {"q": "<script>"}),
        ("watchlist/" + "A" * 33, {}),
        ("watchlist/AAPL%0d%0a", {}),
        ("company", {}),
        ("company", {"symbol": "A B"}),
        ("crypto", {"symbol": "B" * 33}),
        ("crypto", {"symbol": "OANDA:EUR_USD"}),
        ("forex", {"base": "DOLLAR"}),
        ("news", {"symbol": "AAPL", "from": "2026-02-30"}),
        ("news", {"symbol": "AAPL", "from": "2026-05-02", "to": "2026-05-01"}),
        ("news", {"symbol": "AAPL", "to": "0001-01-01"}),
        ("news", {"symbol": "AAPL", "from": "2026-01-01", "to": "9999-12-31"}),
        ("news", {"symbol": "AAPL", "cursor": "x"}),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_reason(
    api: httpx.Client, finnhub: Sandbox, path: str, params: dict[str, str]
) -> None:
    answer = api.get(f"/market/{path}", params=params)

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert finnhub.calls("finnhub") == 0


def test_with_the_provider_down_a_stored_quote_is_stale(
    api: httpx.Client, finnhub: Sandbox
) -> None:
    api.get("/market/quote", params={"symbol": "TSLA"})
    finnhub.fault("finnhub", "http_500")

    def ask() -> dict[str, object]:
        answer: dict[str, object] = api.get(
            "/market/quote", params={"symbol": "TSLA", "max_age_s": 0}
        ).json()
        return answer

    assert eventually(lambda: ask().get("stale"), what="the settled refresh is over")
    assert ask()["source"] == "stored"


def test_with_the_provider_down_and_nothing_stored_it_says_when_to_come_again(
    api: httpx.Client, finnhub: Sandbox
) -> None:
    finnhub.fault("finnhub", "garbage")

    answer = api.get("/market/quote", params={"symbol": "AMD"})

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "market_unavailable"


def test_a_stranger_may_ask_for_ten_new_symbols(api: httpx.Client, finnhub: Sandbox) -> None:
    answers = [
        api.get("/market/quote", params={"symbol": f"S{n}"}, headers=STRANGER) for n in range(11)
    ]

    assert [answer.status_code for answer in answers] == [404] * 10 + [429]
    assert answers[-1].headers["retry-after"] == "60"


def test_a_company_is_told(api: httpx.Client, finnhub: Sandbox) -> None:
    shown = api.get("/market/company", params={"symbol": "AAPL"}).json()

    assert (shown["ticker"], shown["stale"]) == ("AAPL", False)


def test_rates_come_on_a_free_key(api: httpx.Client, finnhub: Sandbox) -> None:
    shown = api.get("/market/forex").json()

    assert (shown["base"], shown["via"]) == ("USD", "/quote")
    assert 0 < shown["quote"]["EUR"] < 2


def test_news_are_a_list_in_pages(api: httpx.Client, finnhub: Sandbox) -> None:
    first = api.get(
        "/market/news",
        params={"symbol": "AAPL", "from": "2026-01-01", "limit": 3, "to": "2026-11-20"},
    )

    second = api.get(first.links["next"]["url"])

    seen = [article["datetime"] for article in first.json() + second.json()]
    assert len(seen) == 6
    assert seen == sorted(seen, reverse=True)
    assert first.headers["x-market-stale"] == "false"


def test_news_of_no_company_are_told(api: httpx.Client, finnhub: Sandbox) -> None:
    answer = api.get("/market/news")

    assert answer.status_code == 200
    assert answer.json()[0]["headline"]


def test_symbols_are_found_by_name(api: httpx.Client, finnhub: Sandbox) -> None:
    first, again = (api.get("/market/search", params={"q": q}) for q in ("apple", " APPLE  "))

    shown = first.json()
    assert [match["symbol"] for match in shown["result"]] == ["AAPL"]
    assert (shown["query"], shown["stale"], shown["source"]) == ("APPLE", False, "simulated")
    assert again.json()["result"] == shown["result"]
    assert finnhub.calls("finnhub", path="/search") == 1


def test_a_search_that_finds_nothing_is_an_answer(api: httpx.Client, finnhub: Sandbox) -> None:
    answer = api.get("/market/search", params={"q": "no such company"})

    assert (answer.status_code, answer.json()["result"]) == (200, [])


def test_a_stranger_may_search_for_ten_things(api: httpx.Client, finnhub: Sandbox) -> None:
    stranger = {"X-Forwarded-For": "203.0.113.9"}
    answers = [
        api.get("/market/search", params={"q": f"thing {n}"}, headers=stranger).status_code
        for n in range(11)
    ]

    # Other tests have come from this address before.
    assert answers[-1] == 429
    assert set(answers) <= {200, 429}


def test_the_status_tells_who_is_open_and_what_is_left(api: httpx.Client, finnhub: Sandbox) -> None:
    api.get("/market/forex", params={"base": "GBP"})

    shown = api.get("/market/status").json()

    exchanges = {one["exchange"]: one for one in shown["exchanges"]}
    assert exchanges.keys() == {"US", "FOREX", "CRYPTO"}
    assert exchanges["CRYPTO"]["is_open"] is True
    assert exchanges["CRYPTO"]["next_close"] is None
    assert exchanges["US"]["next_open"] > shown["at"]
    assert len(shown["holidays"]) == 10
    budget = shown["budget"]
    assert budget["per_minute"] == 60_000
    assert budget["calls_left"] < 60_000
    assert budget["lanes"]["interactive"]["calls_last_minute"] >= 1
    assert budget["lanes"].keys() == {"interactive", "scheduled", "backfill"}
    assert budget["breaker"] == {"state": "closed", "reason": None, "closes_in_s": 0}
    assert [one["what"] for one in shown["not_in_plan"]] == ["/forex/rates any"]


def test_metrics_tell_the_same(api: httpx.Client, finnhub: Sandbox) -> None:
    api.get("/market/forex", params={"base": "CHF"})

    told = api.get("/metrics").text

    for line in (
        'tradepost_finnhub_calls_left{lane="interactive"}',
        'tradepost_finnhub_calls_last_minute{lane="scheduled"}',
        'tradepost_finnhub_calls_total{lane="backfill"}',
        'tradepost_finnhub_answers_total{answer="ok"}',
        "tradepost_finnhub_breaker_open 0.0",
        'tradepost_finnhub_not_in_plan{what="/forex/rates any"} 1.0',
    ):
        assert line in told
