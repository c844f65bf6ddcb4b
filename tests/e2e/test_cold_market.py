"""Crowds at a market that knows nothing yet: the provider hears of each thing once, or not at all.

Two APIs and two workers over real servers. The stand-in counts, and refuses what is too much.
"""

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.crowd import Reply, ask_all
from tests.support.databases import CleanDatabase
from tests.support.fleet import Fleet, Service
from tests.support.http import plain_client
from tests.support.mariadb import MariaDB
from tests.support.processes import ROOT, Child, Nursery, eventually
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

CALLS_PER_SECOND = 30
# Every call of the market that reads, about what is stored; and those that may be about nothing.
STORED = (
    "/market/quote?symbol=AAPL",
    "/market/quotes?symbols=AAPL,NVDA",
    "/market/crypto?symbol=BTC",
    "/market/company?symbol=AAPL",
    "/market/news?symbol=AAPL",
    "/market/forex?base=USD",
    "/market/search?q=apple",
    "/market/history?symbol=AAPL",
    "/market/candles?symbol=AAPL",
    "/market/status",
    "/market/watchlist",
    "/market/watchlist/AAPL",
)
NEVER_STORED = (
    "/market/quote?symbol=MSFT",
    "/market/quotes?symbols=AAPL,MSFT",
    "/market/crypto?symbol=DOGE",
    "/market/company?symbol=MSFT",
    "/market/news?symbol=MSFT",
    "/market/forex?base=EUR",
    "/market/search?q=microsoft",
    "/market/history?symbol=MSFT",
    "/market/candles?symbol=MSFT",
)
# What these ask for, which the APIs remember, is no new symbol to the others.
NAMED = {"AAPL", "MSFT", "NVDA", "BINANCE:BTCUSDT", "BINANCE:DOGEUSDT"}
QUOTES = ("/market/quote?symbol=AAPL&max_age_s=0", "/market/crypto?symbol=BTC&max_age_s=0")
Tell = Callable[[str], None]


class Plant:
    """Two APIs and two workers; the workers can be exchanged for others with another budget."""

    def __init__(
        self, nursery: Nursery, env: dict[str, str], sandbox: Sandbox, folder: Path
    ) -> None:
        self.sandbox = sandbox
        self._fleet = Fleet(nursery, {**env, **sandbox.env(), "AUTH_MODE": "open"}, folder)
        self._apis: list[Service] = []
        self._unasked: list[str] = []
        self._workers: list[Child] = []
        self._per_minute = 0

    def allow(self, per_minute: int) -> None:
        """Have workers that may make so many calls a minute, at an empty stand-in."""
        if per_minute != self._per_minute or not all(it.is_running for it in self._workers):
            self._stop_workers()
            env = {"FINNHUB_PER_MINUTE": str(per_minute)}
            self._workers = [
                self._fleet.worker(["market", "events"], concurrency=1, env=env) for _ in range(2)
            ]
            self._per_minute = per_minute
        self.sandbox.reset()
        limits = {"per_minute": per_minute, "per_second": CALLS_PER_SECOND}
        self._admin("/admin/limits", json=limits)

    def refused(self) -> int:
        """Count the calls that the stand-in found too many."""
        return int(str(self._admin("/admin/limits")["refused"]))

    def quotes(self, symbols: Sequence[str], *, times: int = 1) -> list[Reply]:
        """Ask for quotes, all at once, from one API as from the other."""
        paths = [f"/market/quote?symbol={symbol}" for symbol in symbols]
        return self.ask(paths * times)

    def ask(self, paths: Sequence[str]) -> list[Reply]:
        """Ask for anything, all at once, from one API as from the other."""
        bases = itertools.cycle(api.url for api in self._apis)
        return ask_all([f"{next(bases)}{path}" for path in paths])

    def get(self, path: str) -> httpx.Response:
        """Ask for something else."""
        with plain_client(self._apis[0].url) as http:
            return http.get(path)

    def new_symbols(self, count: int) -> list[str]:
        """List symbols that these APIs have not heard of; other APIs if there are not so many."""
        if len(self._unasked) < count:
            self.renew_apis()
        taken, self._unasked = self._unasked[:count], self._unasked[count:]
        return taken

    def renew_apis(self) -> None:
        """Have APIs that have heard of nothing."""
        self._stop_apis()
        self._apis = [self._fleet.api(path="/healthz") for _ in range(2)]
        self._unasked = self._list_symbols()

    def _list_symbols(self) -> list[str]:
        lists = ("/stock/symbol?exchange=US", "/crypto/symbol?exchange=binance")
        with plain_client(self.sandbox.finnhub_url) as http:
            http.headers["X-Finnhub-Token"] = "the-tests-own"
            rows = [row for path in lists for row in http.get(path.lstrip("/")).json()]
        return [row["symbol"] for row in rows if row["symbol"] not in NAMED]

    def end(self) -> None:
        """End the processes."""
        self._stop_workers()
        self._stop_apis()

    def _stop_apis(self) -> None:
        for api in self._apis:
            api.child.stop()

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.kill_hard()
        self._workers = []

    def _admin(self, path: str, json: object = None) -> dict[str, object]:
        base = self.sandbox.finnhub_url.removesuffix("/api/v1")
        with plain_client(base) as http:
            answer = http.get(path) if json is None else http.post(path, json=json)
        shown: dict[str, object] = answer.raise_for_status().json()
        return shown


@dataclass(frozen=True)
class Standing:
    """What the plant of this module stands on."""

    plant: Plant
    valkey: Valkey
    clean: CleanDatabase


@pytest.fixture(scope="module")
def _standing(
    nursery: Nursery,
    valkey_server: Valkey,
    mariadb_server: MariaDB,
    _clean_database: CleanDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Standing]:
    valkey_server.revive()
    mariadb_server.revive()
    env = {
        "DATABASE_URL": _clean_database.url,
        "BROKER_URL": valkey_server.url(0),
        "CACHE_URL": valkey_server.url(2),
        # Stale quotes would be refreshed unasked.
        "WATCHLIST": "",
    }
    sandbox = Sandbox(nursery, tmp_path_factory.mktemp("sandbox"))
    plant = Plant(nursery, env, sandbox, tmp_path_factory.mktemp("plant"))
    yield Standing(plant, valkey_server, _clean_database)
    plant.end()
    sandbox.stop()


@pytest.fixture
def plant(_standing: Standing, mariadb: MariaDB) -> Plant:
    """The plant, cold: nothing is cached, stored or counted."""
    _standing.clean.clean()
    _standing.valkey.revive()
    if not _standing.plant.sandbox.child.is_running:
        _standing.plant.sandbox.restart()
    return _standing.plant


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return write


def ask_until_answered(plant: Plant, replies: list[Reply]) -> tuple[int, int]:
    """Ask again for what was put off; return how often that was, and how often it was 503."""
    asked = refused = 0
    while put_off := [reply for reply in replies if reply.status != httpx.codes.OK]:
        assert {reply.status for reply in put_off} <= {503, 504}
        waits_s = [int(reply.headers["retry-after"]) for reply in put_off]
        assert min(waits_s) > 0
        time.sleep(min(waits_s))
        asked += 1
        refused += sum(reply.status == httpx.codes.SERVICE_UNAVAILABLE for reply in put_off)
        symbols = {reply.url.partition("symbol=")[2].partition("&")[0] for reply in put_off}
        replies = plant.quotes(sorted(symbols))
    return asked, refused


@pytest.mark.parametrize("crowd", [100, pytest.param(1000, marks=pytest.mark.proof)])
def test_a_crowd_for_one_symbol_is_one_call(plant: Plant, tell: Tell, crowd: int) -> None:
    (symbol,) = plant.new_symbols(1)
    plant.allow(6000)

    begun = time.perf_counter()
    replies = plant.quotes([symbol], times=crowd)
    ask_until_answered(plant, replies)
    took_s = time.perf_counter() - begun

    answered = [reply for reply in replies if reply.status == httpx.codes.OK]
    tell(
        f"cold crowd: {crowd} for one symbol, {len(answered)} answered at first,"
        f" all after {took_s:.2f} s"
    )
    assert plant.sandbox.calls_by_symbol() == {symbol: 1}
    assert len({reply.body["c"] for reply in answered}) <= 1


@pytest.mark.parametrize(
    ("crowd", "count"), [(100, 10), pytest.param(1000, 100, marks=pytest.mark.proof)]
)
def test_a_crowd_for_many_symbols_is_a_call_for_each(
    plant: Plant, tell: Tell, crowd: int, count: int
) -> None:
    symbols = plant.new_symbols(count)
    plant.allow(6000)

    begun = time.perf_counter()
    replies = plant.quotes(symbols, times=crowd // count)
    asked_again, _ = ask_until_answered(plant, replies)
    took_s = time.perf_counter() - begun

    at_first = sum(reply.status == httpx.codes.OK for reply in replies)
    tell(
        f"cold crowd: {crowd} for {count} symbols, {at_first} answered at first,"
        f" all after {took_s:.2f} s, asked again {asked_again} times"
    )
    assert plant.sandbox.calls_by_symbol() == dict.fromkeys(symbols, 1)
    assert plant.refused() == 0
    assert took_s >= (count - 1) / CALLS_PER_SECOND - 1


@pytest.mark.parametrize(
    ("crowd", "count"),
    [
        pytest.param(40, 4, marks=pytest.mark.proof),
        pytest.param(1000, 100, marks=pytest.mark.proof),
    ],
)
@pytest.mark.timeout(400)
def test_a_crowd_beyond_the_budget_is_put_off_and_answered_later(
    plant: Plant, tell: Tell, crowd: int, count: int
) -> None:
    symbols = plant.new_symbols(count)
    plant.allow(60)

    begun = time.perf_counter()
    replies = plant.quotes(symbols, times=crowd // count)
    asked_again, refused = ask_until_answered(plant, replies)
    took_s = time.perf_counter() - begun

    tell(
        f"cold crowd: {crowd} for {count} symbols with 60 calls a minute: all after {took_s:.1f} s,"
        f" asked again {asked_again} times, {refused} times 503"
    )
    assert asked_again > 0
    assert plant.sandbox.calls_by_symbol() == dict.fromkeys(symbols, 1)
    # The stand-in keeps a sliding log of its own.
    assert plant.refused() == 0


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.proof)])
def test_without_the_provider_every_call_is_answered_and_says_so(
    plant: Plant, tell: Tell, times: int
) -> None:
    plant.renew_apis()
    plant.allow(6000)
    for path in STORED:
        eventually(lambda path=path: plant.get(path).is_success)  # type: ignore[misc]

    plant.sandbox.stop()
    eventually(lambda: _stale_of(plant.ask(QUOTES)) == {(200, True, "stored")})
    stored, never = plant.ask(STORED * times), plant.ask(NEVER_STORED * times)
    plant.sandbox.restart()

    tell(f"provider down: {len(stored) + len(never)} requests, {_statuses(never)} for the unknown")
    assert _statuses(stored) == {200: len(stored)}
    assert _statuses(never).keys() <= {200, 404, 503, 504}
    assert all(int(one.headers["retry-after"]) > 0 for one in never if one.status > 500)
    # Nothing of ours is started again.
    eventually(lambda: _stale_of(plant.ask(QUOTES)) == {(200, False, "simulated")})
    eventually(lambda: plant.get(NEVER_STORED[0]).is_success)


def test_every_call_of_the_market_that_reads_is_asked() -> None:
    asked = {path.partition("?")[0].replace("/AAPL", "/{symbol}") for path in STORED}

    known = json.loads((ROOT / "web/openapi.json").read_text())["paths"]
    assert asked == {
        path for path, calls in known.items() if path.startswith("/market/") and "get" in calls
    }


def _statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


def _stale_of(replies: list[Reply]) -> set[tuple[int, object, object]]:
    return {(reply.status, reply.body.get("stale"), reply.body.get("source")) for reply in replies}
