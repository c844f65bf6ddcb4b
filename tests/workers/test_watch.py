"""A worker that is connected and consumes nothing ends by itself; an idle or busy one goes on."""

import pytest
import redis
from celery import Celery

from infra.redis import connect
from infra.sharing.signs import CANARIES, WORKERS, Signs
from tests.support.fleet import Fleet
from tests.support.processes import Child, eventually
from tests.support.valkey import Valkey
from tests.workers.test_worker import message
from workers.watch import own_queue

HURRIED = """
import sys
from workers import watch
watch.LOOK_EVERY_S, watch.CANARY_EVERY_S, watch.STALLED_AFTER_S = 0.3, 0.5, 2.0
from celery.__main__ import main
sys.argv[0] = "celery"
main()
"""


@pytest.fixture
def canaries(valkey: Valkey) -> Signs:
    return Signs(connect(valkey.url(2)), CANARIES)


def hurried_worker(fleet: Fleet, name: str) -> Child:
    """Start a worker that looks every 0.3 s instead of every 5."""
    arguments = ["-A", "workers.app", "worker", "-Q", "events", "-n", f"{name}@here", "-c", "1"]
    return fleet.run(name, ["-c", HURRIED, *arguments, "--without-mingle", "--without-gossip"])


def forget_queue(valkey: Valkey, queue: str, worker: str) -> None:
    """Make a worker forget a queue and stay connected, as some do after a reconnect.

    Its answer is waited for: what is put in before would still be taken.
    """
    with Celery(broker=valkey.url(0), set_as_current=False) as caller:
        answers = caller.control.cancel_consumer(
            queue, destination=[worker], reply=True, timeout=60, limit=1
        )
    assert answers
    assert "ok" in answers[0][worker]


def test_worker_that_takes_nothing_ends_also_when_others_hide_it(
    fleet: Fleet, broker: "redis.Redis", canaries: Signs, valkey: Valkey
) -> None:
    stuck, well = hurried_worker(fleet, "stuck"), hurried_worker(fleet, "well")
    eventually(lambda: {"watch.stuck@here", "watch.well@here"} <= canaries.read().keys())
    sung_at = canaries.read()["watch.stuck@here"].at_s
    eventually(lambda: canaries.read()["watch.stuck@here"].at_s > sung_at + 3, what="six canaries")
    present = Signs(connect(valkey.url(2)), WORKERS).read()

    forget_queue(valkey, own_queue("stuck@here"), "stuck@here")

    assert stuck.wait() == 75
    assert "worker_consumes_nothing" in stuck.log()
    assert present["well@here"].told["queues"] == ["events"]
    assert well.is_running

    forget_queue(valkey, "events", "well@here")
    broker.lpush("events", message("canary.events", b"[[], {}, {}]", queue="events"))

    assert well.wait() == 75


@pytest.mark.proof
def test_worker_that_cannot_reach_its_broker_is_not_to_blame(
    fleet: Fleet, canaries: Signs, valkey: Valkey
) -> None:
    worker = hurried_worker(fleet, "patient")
    eventually(lambda: "watch.patient@here" in canaries.read())

    valkey.kill()
    eventually(lambda: worker.log().count("Trying again in") >= 2, timeout_s=30)
    valkey.restart()

    eventually(lambda: "watch.patient@here" in canaries.read(), timeout_s=60)
    assert worker.is_running
