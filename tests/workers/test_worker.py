"""A real worker: it lives, it says so, and nothing in the broker can stop it."""

import base64
import json
import pickle
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
import sqlalchemy as sa

from infra.bells import LIFE_S
from infra.db import Database
from shop.orders import Order
from tests.cli.fakes import is_running
from tests.support.databases import CleanDatabase
from tests.support.fleet import Fleet
from tests.support.processes import Child, Nursery, eventually
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey
from tests.workers.conftest import PlaceOrder


def message(
    task: str, body: bytes, *, content_type: str = "application/json", queue: str = "payments"
) -> str:
    """Make a message as Celery writes it to Redis."""
    task_id = str(uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {"lang": "py", "task": task, "id": task_id, "root_id": task_id},
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )


BELL = message("payments.settle", b"[[], {}, {}]")
PICKLED = pickle.dumps(([], {}, {}))
POISON = (
    "this is not JSON",
    b"\xff\xfe",
    "{}",
    "[1, 2]",
    "null",
    message("no.such.task", b"[[], {}, {}]"),
    message("payments.settle", b"not json"),
    message("payments.settle", b"[[1, 2], {}, {}]"),
    message("payments.settle", PICKLED, content_type="application/x-python-serialize"),
)
SWEPT_EACH_SECOND = ("payments.settle", "orders.fulfil", "events.publish")


class Crew:
    """One worker for the tests of this module; another follows when a test has ended it."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self._fleet, self._folder = fleet, folder
        self._worker: Child | None = None

    def worker(self) -> Child:
        if self._worker is None or not self._worker.is_running:
            self._worker = self._fleet.worker(("payments",))  # one works, and one waits
        return self._worker

    def dismiss(self) -> None:
        if self._worker is not None:
            self._worker.kill_hard()

    def heartbeat_of(self, child: Child) -> float:
        return (self._folder / f"{child.name}.heartbeat").stat().st_mtime


@pytest.fixture(scope="module")
def valkey_server(
    servers_nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Valkey]:
    """A Valkey of the module's own: a worker stays on it between two tests."""
    server = Valkey(servers_nursery, tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def _standing_sandbox(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    sandbox = Sandbox(nursery, tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(_standing_sandbox: Sandbox) -> Sandbox:
    """The stand-ins without faults; the ledger remembers earlier tests."""
    _standing_sandbox.reset()
    return _standing_sandbox


@pytest.fixture(scope="module")
def crew(
    nursery: Nursery,
    valkey_server: Valkey,
    _standing_sandbox: Sandbox,
    _clean_database: CleanDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Crew]:
    env = {
        "DATABASE_URL": _clean_database.url,
        "BROKER_URL": valkey_server.url(0),
        "CACHE_URL": valkey_server.url(2),
        **_standing_sandbox.env(),
    }
    folder = tmp_path_factory.mktemp("crew")
    crew = Crew(Fleet(nursery, env, folder), folder)
    yield crew
    crew.dismiss()


@pytest.fixture
def worker(crew: Crew, database: Database, valkey: Valkey) -> Child:
    """A worker on the payments, over servers that are clean and run."""
    return crew.worker()


def test_worker_goes_on_after_messages_that_are_none(
    worker: Child, broker: "redis.Redis", sandbox: Sandbox, place_order: PlaceOrder
) -> None:
    order_id = place_order()

    broker.lpush("payments", *POISON, BELL)

    eventually(lambda: sandbox.ledger().charges_of(order_id))
    assert worker.is_running


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.proof)])
def test_same_message_many_times_charges_once(
    worker: Child,
    broker: "redis.Redis",
    sandbox: Sandbox,
    place_order: PlaceOrder,
    count: int,
) -> None:
    order_id = place_order()

    broker.lpush("payments", *[BELL] * count)

    # Nothing waits, and nothing is in hand.
    eventually(lambda: not broker.exists("payments", "unacked"))
    assert len(sandbox.ledger().charges_of(order_id)) == 1


def test_heartbeat_is_touched_while_there_is_nothing_to_do(worker: Child, crew: Crew) -> None:
    before = crew.heartbeat_of(worker)

    eventually(lambda: crew.heartbeat_of(worker) > before)


def test_sigterm_lets_the_task_in_hand_finish(
    worker: Child,
    broker: "redis.Redis",
    sandbox: Sandbox,
    place_order: PlaceOrder,
    database: Database,
) -> None:
    sandbox.fault("gateway", "slow", times=1, delay_s=1.5)
    order_id = place_order()
    broker.lpush("payments", BELL)
    eventually(lambda: sandbox.struck("gateway", "slow"))

    worker.send(signal.SIGTERM)

    assert worker.wait() == 0
    with database.reads() as session:
        status = session.scalar(sa.select(Order.status).where(Order.id == order_id))
    assert status in ("paid", "completed")  # the goods may leave before the signal arrives


def test_idle_worker_ends_at_once(worker: Child) -> None:
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0


def test_children_do_not_outlive_a_killed_worker(worker: Child) -> None:
    children = eventually(worker.children)

    worker.kill()

    eventually(lambda: not any(map(is_running, children)))


def test_worker_takes_work_again_after_redis_was_away(
    worker: Child, valkey: Valkey, sandbox: Sandbox, place_order: PlaceOrder
) -> None:
    valkey.kill()
    valkey.restart()
    order_id = place_order()

    with valkey.client() as broker:
        broker.lpush("payments", BELL)

    eventually(lambda: sandbox.ledger().charges_of(order_id))


def test_worker_whose_redis_goes_while_it_works_takes_work_again(
    worker: Child,
    broker: "redis.Redis",
    valkey: Valkey,
    sandbox: Sandbox,
    place_order: PlaceOrder,
) -> None:
    sandbox.fault("gateway", "slow", times=1, delay_s=2)
    in_hand = place_order()
    broker.lpush("payments", BELL)
    eventually(lambda: sandbox.calls("gateway"), what="the charge is asked for")

    valkey.kill()
    eventually(lambda: "Connection" in worker.unseen_log(), what="the worker misses Redis")
    valkey.restart()
    order_id = place_order()

    with valkey.client() as again:
        again.lpush("payments", BELL)
    for wanted in (in_hand, order_id):
        eventually(lambda: sandbox.ledger().charges_of(wanted))  # noqa: B023 - asked at once


def test_queue_with_a_typo_is_an_error_and_not_a_queue_that_nobody_reads(fleet: Fleet) -> None:
    worker = fleet.worker(("paymets",), wait=False)

    assert worker.wait() != 0
    assert "paymets" in worker.log()


def test_wrong_setting_ends_the_worker_with_its_name(fleet: Fleet) -> None:
    worker = fleet.worker(("payments",), env={"RESERVATION_TTL_S": "soon"}, wait=False)

    assert worker.wait() != 0
    assert "RESERVATION_TTL_S is wrong" in worker.log().splitlines()[-1]


def test_stopped_workers_find_no_heap_of_messages_of_beats_that_live(
    crew: Crew, fleet: Fleet, broker: "redis.Redis", cache: "redis.Redis", tmp_path: Path
) -> None:
    crew.dismiss()
    began = time.monotonic()
    fleet.beat(wait=False)
    beat = fleet.beat()
    heartbeat = tmp_path / "fleet" / f"{beat.name}.heartbeat"
    touched_at = heartbeat.stat().st_mtime
    bells = [f"bell:{task}" for task in SWEPT_EACH_SECOND]
    eventually(lambda: cache.exists(*bells) == len(bells))

    eventually(lambda: cache.ttl(bells[0]) <= 2)

    # A bell is rung again when it has faded, and else by nobody.
    waiting = [json.loads(it)["headers"]["task"] for it in broker.lrange("payments", 0, -1)]
    assert max(Counter(waiting).values()) <= 1 + (time.monotonic() - began) / LIFE_S
    eventually(lambda: heartbeat.stat().st_mtime > touched_at)
