"""The history that real workers leave: what was asked for, what failed, and nothing else."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import redis
import sqlalchemy as sa
from structlog.contextvars import bound_contextvars

from infra.db import Database, transact
from infra.jobs import tasks
from infra.jobs.tasks import Filter, Outcome, TaskState
from shop import sync
from tests.support.fleet import Fleet
from tests.support.processes import Child, eventually
from tests.support.sandbox import Sandbox
from tests.workers.test_worker import message
from workers import retries

TALKATIVE = """
import sys
from functools import partial
from workers import tasks
tasks.Hold = partial(tasks.Hold, every_s=0.2)
from celery.__main__ import main
sys.argv[0] = "celery"
main()
"""


def bell(name: str, **headers: object) -> str:
    sent = json.loads(message(name, b"[[], {}, {}]"))
    sent["headers"] |= headers
    return json.dumps(sent)


def talkative_worker(fleet: Fleet) -> Child:
    """Start a worker that speaks up more often for what it has in hand."""
    arguments = ["-A", "workers.app", "worker", "-Q", "products,payments", "-c", "1"]
    return fleet.run("talkative", ["-c", TALKATIVE, *arguments, "--without-mingle"])


def listed(database: Database, **wanted: Any) -> list[dict[str, Any]]:
    with database.reads() as session:
        return tasks.list_page(session, Filter(**wanted))


def one(database: Database, state: TaskState) -> dict[str, Any]:
    (found,) = eventually(lambda: listed(database, state=state), what=f"a task is {state}")
    return found


def detail(database: Database, run_id: int) -> dict[str, Any]:
    with database.reads() as session:
        return tasks.get(session, run_id)


def left_by_one_killed(database: Database, task_id: str, *, worker: str) -> None:
    """Write what a worker that was killed as a whole leaves behind."""
    left = Outcome(
        task_id, task_id, "products.sync", "products", TaskState.RUNNING, n=1,
        worker=f"{worker}@{socket.gethostname()}",
    )  # fmt: skip
    before = datetime.now(UTC) - timedelta(minutes=2)
    transact(database.sessions, lambda session: tasks.record(session, left, now=before))


def ask_for_sync(database: Database) -> int:
    with bound_contextvars(request_id="asked-by-me"):
        return transact(database.sessions, sync.request)


@contextmanager
def without_table(database: Database, name: str) -> Iterator[None]:
    """Take a table away for a while, as a failed migration would."""
    with database.engine.connect() as connection:
        connection.execute(sa.text(f"RENAME TABLE {name} TO was_{name}"))
    try:
        yield
    finally:
        with database.engine.connect() as connection:
            connection.execute(sa.text(f"RENAME TABLE was_{name} TO {name}"))


def test_syncs_that_were_asked_for_are_written_down_and_a_failed_one_is_asked_for_anew(
    fleet: Fleet, broker: "redis.Redis", database: Database, sandbox: Sandbox
) -> None:
    left_by_one_killed(database, "of-its-name", worker="worker1-products-events")
    left_by_one_killed(database, "of-another-name", worker="worker-gone")
    fleet.worker(("products", "events"), concurrency=1)
    eventually(lambda: listed(database, state=TaskState.FAILED))
    broker.lpush("events", bell("tasks.tidy"))
    eventually(lambda: len(listed(database, state=TaskState.FAILED)) > 1)
    left = listed(database)
    for row in left:
        transact(database.sessions, partial(tasks.retry, run_id=row["id"]))
    sandbox.fault("feed", "http_500", times=1)
    first = ask_for_sync(database)
    broker.lpush("products", bell("products.sync"))
    failed = one(database, TaskState.FAILED)

    for _ in range(2):
        retries.retry(database.sessions, failed["id"])
    broker.lpush("products", *(bell("products.sync") for _ in range(3)))

    done = one(database, TaskState.DONE)
    eventually(lambda: broker.llen("products") == 0)
    assert (failed["name"], failed["queue"], failed["tries"]) == ("products.sync", "products", 1)
    assert failed["arguments"] == {"sync_id": first, "dry_run": False}
    assert failed["request_id"] == "asked-by-me"
    assert failed["worker"].startswith("worker1-products-events@")
    assert "feed" in failed["error"].lower()
    assert done["arguments"]["sync_id"] > first
    assert {row["state"] for row in listed(database)} == {"retried", "done"}
    assert len(listed(database)) == 4
    assert {(row["task_id"], row["error"].split(":")[0]) for row in left} == {
        ("of-its-name", "WorkerLost"),
        ("of-another-name", "WorkerLost"),
    }


def test_what_fails_or_is_killed_leaves_a_row_and_work_goes_on_without_its_history(
    fleet: Fleet, broker: "redis.Redis", database: Database, sandbox: Sandbox
) -> None:
    worker = talkative_worker(fleet)
    with without_table(database, "reservation"), without_table(database, "orders"):
        broker.lpush("payments", bell("orders.expire"), bell("orders.expire"))
        eventually(lambda: one(database, TaskState.FAILED)["tries"] == 2)
    raised = detail(database, one(database, TaskState.FAILED)["id"])
    retries.retry(database.sessions, raised["id"])
    broker.lpush("payments", bell("orders.expire", retry_of=raised["id"]))
    ended = one(database, TaskState.DONE)

    sandbox.fault("feed", "hang", times=1)
    hanging = ask_for_sync(database)
    broker.lpush("products", bell("products.sync"))
    eventually(lambda: sandbox.struck("feed", "hang"))
    eventually(lambda: speaks_up(database))
    os.kill(worker.children()[0], signal.SIGKILL)
    killed = one(database, TaskState.FAILED)
    sandbox.fault("feed", "hang", times=1)
    let_lease_end(database)
    broker.lpush("products", bell("products.sync", timelimit=[8, 6]))
    limited = eventually(
        lambda: [row for row in listed(database) if "TimeLimitExceeded" in (row["error"] or "")]
    )

    with without_table(database, "task_run"):
        later = ask_for_sync(database)
        let_lease_end(database)
        broker.lpush("products", bell("products.sync"))
        eventually(lambda: status_of(database, later) == "done")

    def rings_until_written() -> bool:
        broker.lpush("products", bell("products.sync"))
        written = listed(database, state=TaskState.DONE, name="products.sync")
        return later in {row["arguments"]["sync_id"] for row in written}

    eventually(rings_until_written, interval_s=0.5)
    assert (raised["name"], raised["arguments"]) == ("orders.expire", {})
    assert "ProgrammingError" in raised["error"]
    assert "workers/orders.py" in raised["traceback"]
    assert (ended["id"], ended["tries"]) == (raised["id"], 3)
    assert killed["arguments"] == limited[0]["arguments"] == {"sync_id": hanging, "dry_run": False}
    assert "WorkerLostError" in killed["error"]
    assert "task_history_not_written" in worker.log()
    assert worker.is_running


def speaks_up(database: Database) -> bool:
    """Tell whether the one who has something in hand has said so since he took it up."""
    (running,) = listed(database, state=TaskState.RUNNING)
    later = running["started_at"] + timedelta(milliseconds=100)
    return bool(listed(database, state=TaskState.RUNNING, since=later))


def let_lease_end(database: Database) -> None:
    with database.sessions.begin() as session:
        session.execute(sa.text("UPDATE sync_run SET lease_until = requested_at"))


def status_of(database: Database, run_id: int) -> Any:
    with database.reads() as session:
        return sync.get(session, run_id)["status"]
