"""Many orders at once against the whole application, undisturbed and disturbed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from infra.db import Database
from shop.events import TOPICS as SHOP_TOPICS
from tests.e2e.conftest import StartRun
from tests.support import invariants
from tests.support.leases import let_leases_end
from tests.support.processes import eventually
from tests.support.run import WholeRun

CONNECTIONS = 8
MANY = pytest.mark.parametrize(
    "count", [200, pytest.param(2000, marks=[pytest.mark.proof, pytest.mark.timeout(600)])]
)
FEWER = pytest.mark.parametrize(
    "count", [60, pytest.param(2000, marks=[pytest.mark.proof, pytest.mark.timeout(600)])]
)


@pytest.fixture(scope="module")
def run(start_run: StartRun) -> WholeRun:
    """A run that fulfils at once and has enough of everything."""
    run = start_run(FULFILMENT_DELAY_S="0", DEFAULT_STOCK="10000")
    eventually(lambda: run.get("/products/"), what="the first sync")
    return run


@pytest.fixture
def database(run: WholeRun) -> Iterator[Database]:
    opened = run.database()
    yield opened
    opened.engine.dispose()


@pytest.fixture
def client(run: WholeRun) -> Iterator["redis.Redis"]:
    with run.redis() as opened:
        yield opened


def post_orders(run: WholeRun, count: int, *, after_half: Callable[[], None]) -> list[int]:
    """Place orders through eight connections; in the middle, do something else beside it."""
    half = threading.Semaphore(0)
    api = run.url("api")

    def post(share: int) -> list[int]:
        accepted = []
        with httpx.Client(base_url=api, timeout=60, trust_env=False) as http:
            for _ in range(share):
                answer = http.post("/orders/", json={"products": [1, 2], "total_amount": 100})
                assert answer.status_code == httpx.codes.CREATED, answer.text
                accepted.append(int(answer.json()["id"]))
                half.release()
        return accepted

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        shares = [threads.submit(post, count // CONNECTIONS) for _ in range(CONNECTIONS)]
        for _ in range(count // 2):
            assert half.acquire(timeout=60)
        after_half()
        return [order_id for share in shares for order_id in share.result()]


def check(run: WholeRun, database: Database, client: "redis.Redis", accepted: list[int]) -> None:
    def is_done() -> bool:
        quiet = invariants.is_quiet(database, accepted)
        return quiet and invariants.are_level(database, client, SHOP_TOPICS)

    eventually(is_done, timeout_s=100, interval_s=0.2)
    invariants.check_all(database, client, run.ledger(), accepted=accepted, topics=SHOP_TOPICS)


def completed(run: WholeRun, accepted: list[int]) -> int:
    ledger = run.ledger()
    return sum(ledger.kept(order_id) == 10_000 for order_id in accepted)


@MANY
def test_orders_posted_at_once_are_all_charged_once_and_completed(
    run: WholeRun, database: Database, client: "redis.Redis", count: int
) -> None:
    accepted = post_orders(run, count, after_half=lambda: None)

    check(run, database, client, accepted)
    assert len(set(accepted)) == count // CONNECTIONS * CONNECTIONS
    assert completed(run, accepted) == len(accepted)


@FEWER
def test_orders_survive_killed_workers_and_a_flushed_redis(
    run: WholeRun, database: Database, client: "redis.Redis", count: int
) -> None:
    workers = [run.pid("worker-payments"), run.pid("worker-market")]

    def disturb() -> None:
        os.kill(workers[0], signal.SIGKILL)
        os.kill(workers[1], signal.SIGKILL)
        client.flushall()

    accepted = post_orders(run, count, after_half=disturb)
    let_leases_end(database)

    check(run, database, client, accepted)
    assert completed(run, accepted) == len(accepted)
