"""Whatever somebody writes into Redis under our keys: no 500, and nothing stands still for it."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import httpx
import pytest
import redis

from beat_schedule import beat_schedule
from tests.api.conftest import SECRET_KEY
from tests.market.test_cached import FETCHED, FOREX, QUOTE, SEARCH
from tests.support.databases import CleanDatabase
from tests.support.fleet import Fleet
from tests.support.http import persistent_client, plain_client
from tests.support.processes import Nursery
from tests.support.sandbox import Sandbox
from tests.support.sse import EventStream, Received
from tests.support.valkey import Valkey
from workers.queues import NAMES

T = TypeVar("T")
Client = redis.Redis
MANY = [f"{n}@here" for n in range(999)]
TICKET = "t" * 43
TICKET_KEY = f"ticket:{sha256(TICKET.encode()).hexdigest()}"
TEXTS = (
    b"", bytes(range(256)), b"[" * 200_000, b'{"a":' * 5000, b"null", b"7", b"1e999", b'"text"',
    b"[1,2]", b"{}", b"9" * 5000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 2**63, 1e308, "text", "", "1e999", "nan", "\0\ud800", "9" * 5000, [], [[]],
    [None], {}, {"a": None},
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    "",
    "text",
    b"\xff",
    "inf",
    "-inf",
    "nan",
    "1e300",
    "-1e300",
    "9" * 5000,
    "-1",
    "0.5",
)
_SCORES: dict[Any, Any] = {"quote AAPL": "inf", b"\xff": "-inf", "x": 1e300}
Forge = Callable[[Client, str], object]
KINDS: Mapping[str, Forge] = {
    "list": lambda at, key: at.rpush(key, *NUMBERS),
    "hash": lambda at, key: at.hset(key, mapping={str(n): v for n, v in enumerate(NUMBERS)}),
    "set": lambda at, key: at.sadd(key, *NUMBERS),
    "sorted set": lambda at, key: at.zadd(key, _SCORES),
    "stream": lambda at, key: at.xadd(key, {"a": "b"}),
}


@dataclass
class Scene:
    """An API with a worker, and the Redis that they share with somebody else."""

    http: httpx.Client
    valkey: Valkey
    cache: Client
    streams: Client
    log: Callable[[], str]

    def tip(self, key: str) -> tuple[int, int]:
        """Tell the last id of a stream."""
        told: Any = self.streams.xinfo_stream(key)
        epoch, _, seq = told["last-generated-id"].partition(b"-")
        return int(epoch), int(seq)

    def get(self, *paths: str) -> None:
        """Call each path; whatever the answer is, it is one that the contract knows."""
        for path in paths:
            with self.http.stream("GET", path) as answer:
                self.judge(answer)

    def judge(self, answer: httpx.Response) -> None:
        assert answer.status_code < 500 or answer.status_code in (503, 504), self.log()[-3000:]


@pytest.fixture(scope="module")
def _standing(
    nursery: Nursery,
    servers_nursery: Nursery,
    _clean_database: CleanDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    _clean_database.clean()
    valkey = Valkey(servers_nursery, tmp_path_factory.mktemp("valkey"))
    valkey.start()
    with nursery.group():
        env = {
            "DATABASE_URL": _clean_database.url,
            "BROKER_URL": valkey.url(0),
            "STREAMS_URL": valkey.url(1),
            "CACHE_URL": valkey.url(2),
            **Sandbox(nursery, tmp_path_factory.mktemp("sandbox")).env(),
            "AUTH_MODE": "open",
            "SECRET_KEY": SECRET_KEY,
            "FINNHUB_PER_MINUTE": "60000",
            "FINNHUB_PER_SECOND": "1000",
            "DASHBOARD_DIR": str(tmp_path_factory.mktemp("no-dashboard")),
        }
        fleet = Fleet(nursery, env, tmp_path_factory.mktemp("fleet"))
        fleet.worker(["market", "events"], concurrency=1, wait=False)
        api = fleet.api()
        with (
            plain_client(api.url) as http,
            redis.Redis(port=valkey.port, db=2) as cache,
            redis.Redis(port=valkey.port, db=1) as streams,
        ):
            yield Scene(http, valkey, cache, streams, api.child.log)
    valkey.stop()


@pytest.fixture
def scene(_standing: Scene) -> Scene:
    """The scene, without what a test before has left in the cache."""
    _standing.cache.flushdb()
    return _standing


OF_QUEUES, OF_MARKET = ("/queues", "/metrics"), ("/market/status", "/metrics")


@pytest.mark.parametrize(
    ("key", "readers"),
    [
        ("signs:canaries", (*OF_QUEUES, "/readyz")),
        ("signs:workers", OF_QUEUES),
        ("signs:schedule", ("/schedule",)),
        ("signs:trades", ("/metrics",)),
        ("tally", ("/metrics",)),
        ("budget:finnhub:log", OF_MARKET),
        ("budget:finnhub:log:scheduled", OF_MARKET),
        ("budget:finnhub:state", OF_MARKET),
        ("market:closed", OF_MARKET),
        ("market:recent", ("/market/watchlist",)),
        ("market:source", ("/market/status", "/")),
    ],
)
def test_key_of_another_kind(scene: Scene, key: str, readers: Sequence[str]) -> None:
    for forge in KINDS.values():
        replace(scene.cache, key, forge)
        scene.get(*readers)


def replace(at: Client, key: str, forge: Forge) -> None:
    """Put something of another kind in a key's place, in one go: others go on writing there."""
    with at.pipeline(transaction=True) as pipe:
        pipe.delete(key)
        forge(pipe, key)
        pipe.execute()


def test_what_is_asked_for_comes_whatever_stands_in_its_place(scene: Scene) -> None:
    symbols = ("KO", "PEP", "IBM", "NKE", "DIS")

    for symbol, forge in zip(symbols, KINDS.values(), strict=True):
        replace(scene.cache, "market:wanted", forge)
        replace(scene.cache, "market:recent", forge)
        with persistent_client(str(scene.http.base_url)) as http:
            answer = http.get(f"/market/company?symbol={symbol}")
        assert answer.status_code == httpx.codes.OK, answer.text


def forms_of(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Put each value in each place, one at a time, and in all at once."""
    for value in VALUES:
        yield dict.fromkeys(document, value)
        for name in document:
            yield {**document, name: value}


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Give items in batches of a size, the last one perhaps smaller."""
    return (items[first : first + size] for first in range(0, len(items), size))


def json_of(document: object) -> bytes:
    # A lone surrogate and endless numbers are no JSON of ours, but somebody may write them.
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("key", "readers", "names", "told"),
    [
        ("signs:canaries", OF_QUEUES, NAMES, {"worker": "w"}),
        ("signs:workers", OF_QUEUES, MANY, {"queues": ["payments"], "pid": 1}),
        ("signs:schedule", ("/schedule",), list(beat_schedule), {"task": "payments.settle"}),
        ("signs:trades", ("/metrics",), MANY, {"connected": True}),
    ],
)
def test_sign_that_tells_something_else(
    scene: Scene, key: str, readers: Sequence[str], names: Sequence[str], told: dict[str, Any]
) -> None:
    seconds, _ = scene.cache.time()
    inner = [{"at": seconds, "told": json.dumps(form)} for form in forms_of(told)]
    outer = list(forms_of({"at": seconds, "told": json.dumps(told)}))
    texts = [*TEXTS, *map(json_of, (*inner, *outer))]
    for some in batches(texts, len(names)):
        signs: Any = dict(zip(names, some, strict=False))
        scene.cache.hset(key, mapping=signs)
        scene.get(*readers)
        scene.cache.delete(key)


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        (
            "tally",
            ("payments.settle|done", "payments.settle|le|0.01", "payments.settle|seconds",
             "finnhub-stream:trades", "a|b|c|d", b"\xff|done"),
        ),
        (
            "budget:finnhub:state",
            ("since", "paused_until", "granted", "granted:scheduled", "answered:ok", "reason",
             "strikes", b"answered:\xff"),
        ),
    ],
)  # fmt: skip
def test_count_that_is_none(scene: Scene, key: str, fields: Sequence[str | bytes]) -> None:
    for number in NUMBERS:
        scene.cache.delete(key)
        scene.cache.hset(key, mapping=dict.fromkeys(fields, number))
        scene.get("/metrics", "/market/status")


def test_message_that_says_when_it_was_sent_by_no_clock(scene: Scene) -> None:
    nobody_hears = ("payments", "products")
    with redis.Redis(port=scene.valkey.port, db=0) as broker:
        for some in batches([*VALUES, "inf", "-inf", "1e300", "-1e300"], len(nobody_hears)):
            for queue, sent_at in zip(nobody_hears, some, strict=False):
                broker.lpush(queue, json_of({"headers": {"sent_at": sent_at}}))
            scene.get(*OF_QUEUES)
            broker.delete(*nobody_hears)


def test_refusal_that_ends_at_no_time(scene: Scene) -> None:
    for score in ("inf", "1e300", "9" * 30):
        forged: dict[Any, Any] = {"/quote equity:US": score, b"\xff": score}
        scene.cache.zadd("market:closed", forged)
        scene.get("/market/status", "/metrics", "/market/company?symbol=KO")


def test_counted_attempts_that_are_none(scene: Scene) -> None:
    def sign_in() -> httpx.Response:
        form = {"username": "nobody@example.com", "password": "wrong"}
        return scene.http.post("/auth/token", data=form)

    sign_in()
    for key, number in itertools.product(scene.cache.keys("limits:*"), NUMBERS):
        scene.cache.delete(key)
        scene.cache.rpush(key, *[number] * 130)
        scene.judge(sign_in())
        scene.cache.delete(key)


def test_ticket_that_names_nobody(scene: Scene) -> None:
    held = {"user_id": 2**63 - 1, "family_id": "f"}
    for text in (*TEXTS, *map(json_of, forms_of(held))):
        scene.cache.set(TICKET_KEY, text)
        scene.get(f"/events?topics=products&ticket={TICKET}")
    for forge in KINDS.values():
        forge(scene.cache, TICKET_KEY)
        scene.get(f"/events?topics=products&ticket={TICKET}")
        scene.cache.delete(TICKET_KEY)


@pytest.mark.parametrize(
    ("want", "path", "answer"),
    [
        ("quote AAPL", "/market/quote?symbol=AAPL&max_age_s=0", QUOTE),
        ("company AAPL", "/market/company?symbol=AAPL", {**FETCHED, "symbol": "AAPL"}),
        ("forex USD", "/market/forex?base=USD", FOREX),
        ("news general", "/market/news", FETCHED),
        ("search APPLE", "/market/search?q=apple", SEARCH),
    ],
)
def test_market_answer_that_is_none(
    scene: Scene, want: str, path: str, answer: dict[str, Any]
) -> None:
    for value in VALUES:
        scene.cache.set(f"market:answer:{want}", json_of(dict.fromkeys(answer, value)))
        scene.get(path)


def test_outcome_that_is_none(scene: Scene) -> None:
    told = {"code": "over_budget", "detail": "Later.", "retry_after_s": 5}
    for form in forms_of(told):
        scene.cache.set("market:outcome:company FORGED", json_of(form))
        scene.cache.publish("market:outcome", json_of({"want": form, "outcome": form}))
        scene.get("/market/company?symbol=FORGED")
    for text in TEXTS:
        scene.cache.publish("market:outcome", text)


def entry(entry_id: str, **changed: Any) -> dict[Any, Any]:
    """Make the fields of an entry, as the relay writes them but for what is changed."""
    return {
        "specversion": "1.0",
        "id": entry_id,
        "source": "/tradepost/products",
        "type": "product.created",
        "subject": "products/1",
        "version": "1",
        "time": "2026-11-22T10:00:00Z",
        "datacontenttype": "application/json",
        "data": "{}",
        **changed,
    }


# None is the id behind the newest entry.
ENTRIES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "no data of an event": (None, {"data": "[1]"}),
    "no text": (None, {"type": b"\xff", "version": "9" * 5000}),
    "an epoch ahead": ("70-5", {"data": b"\xff"}),
    "as far as can be": ("90-18446744073709551614", {}),
    "in no epoch": ("18446744073709551614-7", {}),
}


@pytest.mark.parametrize("what", ENTRIES)
def test_live_events_go_on_after_an_entry_of_another(scene: Scene, what: str) -> None:
    forged_id, fields = ENTRIES[what]
    with EventStream(str(scene.http.base_url), topics="products") as stream:
        events = stream.events()
        next(events)
        sell(scene, f"Before {what}")
        hear_of(events, f"Before {what}")

        epoch, seq = scene.tip("events:products")
        entry_id = forged_id or f"{epoch}-{seq + 1}"
        scene.streams.xadd("events:products", entry(entry_id, **fields), id=entry_id)

        sell(scene, f"After {what}")
        hear_of(events, f"After {what}")


def sell(scene: Scene, name: str) -> None:
    body = {"name": name, "price": 5, "quantity": 1}
    scene.http.post("/products/", json=body).raise_for_status()


def hear_of(events: Iterator[Received], name: str) -> None:
    for event in events:
        if event.type == "product.created" and event.data["data"].get("name") == name:
            return
    pytest.fail(f"The stream ended before {name}.")
