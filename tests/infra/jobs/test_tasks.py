"""The history of tasks: one row for one thing, told once for each change, gone in time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Database, transact
from infra.jobs import left_behind, tasks
from infra.jobs.hold import Hold
from infra.jobs.task_events import TOPIC
from infra.jobs.tasks import Filter, Outcome, TaskNotFailed, TaskState
from infra.outbox import Event
from tests.support.processes import eventually

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Write = Callable[..., None]


@pytest.fixture
def write(each_database: Database) -> Write:
    def write_down(state: TaskState, *, at: datetime = NOON, **told: Any) -> None:
        named = {"task_id": "a", "run": told.get("task_id", "a"), "name": "x.run", "queue": "q"}
        outcome = Outcome(**{**named, **told}, state=state)
        transact(each_database.sessions, lambda session: tasks.record(session, outcome, now=at))

    return write_down


def listed(database: Database, **wanted: Any) -> list[dict[str, Any]]:
    with database.reads() as session:
        return tasks.list_page(session, Filter(**wanted))


def told(database: Database) -> list[tuple[str, int, str]]:
    with database.reads() as session:
        rows = session.execute(
            sa.select(Event.type, Event.version, Event.data)
            .where(Event.topic == TOPIC)
            .order_by(Event.id)
        )
        return [(row.type, row.version, orjson.loads(row.data)["state"]) for row in rows]


def test_thing_that_is_done_has_one_row_and_one_event(
    each_database: Database, write: Write
) -> None:
    write(TaskState.RUNNING, n=1, arguments={"sync_id": 7}, request_id="r1")
    write(TaskState.DONE, n=1, runtime_ms=12)

    (shown,) = listed(each_database)
    assert (shown["state"], shown["tries"], shown["runtime_ms"]) == ("done", 1, 12)
    assert (shown["arguments"], shown["request_id"]) == ({"sync_id": 7}, "r1")
    assert told(each_database) == [("task.done", 1, "done")]


def test_same_failure_again_adds_a_try_and_no_event(each_database: Database, write: Write) -> None:
    for task_id in "abc":
        write(TaskState.FAILED, task_id=task_id, same_as="x.run:Error:1", error="Error: no")

    (shown,) = listed(each_database, state=TaskState.FAILED)
    assert (shown["tries"], shown["error"]) == (3, "Error: no")
    assert told(each_database) == [("task.failed", 1, "failed")]


def test_thing_taken_up_many_times_keeps_its_row(each_database: Database, write: Write) -> None:
    write(TaskState.RUNNING, task_id="a", n=1, same_as="refunds/7")
    write(TaskState.RUNNING, task_id="b", n=1, same_as="refunds/7")
    write(TaskState.DONE, task_id="b", n=1, same_as="refunds/7")

    (shown,) = listed(each_database)
    assert (shown["state"], shown["task_id"]) == ("done", "b")


def test_failed_task_is_retried_once_and_then_done(each_database: Database, write: Write) -> None:
    write(TaskState.FAILED, error="Error: no")
    (failed,) = listed(each_database)

    def retry(session: Session) -> bool:
        return tasks.retry(session, failed["id"])

    assert [transact(each_database.sessions, retry) for _ in range(2)] == [True, False]
    write(TaskState.DONE, task_id="b", retry_of=failed["id"])

    with pytest.raises(TaskNotFailed):
        transact(each_database.sessions, retry)
    assert [kind for kind, _, _ in told(each_database)] == [
        "task.failed",
        "task.retried",
        "task.done",
    ]
    assert [version for _, version, _ in told(each_database)] == [1, 2, 3]


def test_row_about_the_publishing_of_events_is_no_event(
    each_database: Database, write: Write
) -> None:
    write(TaskState.FAILED, name="events.publish", error="Error: no")

    assert listed(each_database, name="events.publish")
    assert told(each_database) == []


def test_what_a_killed_process_had_in_hand_fails(each_database: Database, write: Write) -> None:
    write(TaskState.DONE, n=1)
    write(TaskState.RUNNING, n=2)

    lost = transact(
        each_database.sessions,
        lambda session: left_behind.lose(session, task_id="a", error="Killed: 9"),
    )

    assert lost == 1
    assert [(row["state"], row["error"]) for row in listed(each_database)] == [
        ("failed", "Killed: 9"),
        ("done", None),
    ]


def test_what_nobody_comes_back_to_is_lost(each_database: Database, write: Write) -> None:
    write(TaskState.RUNNING, n=1)
    limit = timedelta(minutes=15)

    early = left_behind.lose_overdue(each_database.sessions, older_than=limit, now=NOON + limit)
    late = left_behind.lose_overdue(
        each_database.sessions, older_than=limit, now=NOON + limit + timedelta(seconds=1)
    )

    assert (early, late) == (0, 1)
    assert listed(each_database)[0]["state"] == "failed"


def test_worker_that_starts_anew_loses_only_what_it_had_in_hand(
    each_database: Database, write: Write
) -> None:
    write(TaskState.RUNNING, task_id="a", n=1, worker="one@here")
    write(TaskState.RUNNING, task_id="b", n=1, worker="one@here", put_down=True)
    write(TaskState.RUNNING, task_id="c", n=1, worker="other@here")
    write(TaskState.RUNNING, task_id="d", n=1, worker="one@here", same_as="refunds/7")
    write(TaskState.RUNNING, task_id="e", n=1, worker="other@here", same_as="refunds/7")
    at = NOON + timedelta(minutes=1)

    lost = left_behind.lose_of(
        each_database.sessions, "one@here", older_than=timedelta(seconds=59), now=at
    )

    (failed,) = listed(each_database, state=TaskState.FAILED)
    assert (lost, failed["task_id"], failed["ended_at"]) == (1, "a", at)
    assert left_behind.lose_overdue(each_database.sessions, older_than=timedelta(), now=at) == 2


def test_only_who_is_gone_and_silent_loses_what_was_in_hand(
    each_database: Database, write: Write
) -> None:
    for task_id, worker in (("a", "gone@here"), ("b", "living@here"), ("c", "cut-off@here")):
        write(TaskState.RUNNING, task_id=task_id, n=1, worker=worker)
    write(TaskState.RUNNING, task_id="d", n=1, worker="gone@here", put_down=True)
    write(TaskState.RUNNING, task_id="e", n=1)
    at, sessions = NOON + timedelta(seconds=61), each_database.sessions
    speaks_at = NOON + timedelta(seconds=30)
    transact(sessions, lambda session: left_behind.keep(session, "c", now=speaks_at))

    lost = left_behind.lose_of_the_gone(sessions, living=["living@here"], now=at)

    (failed,) = listed(each_database, state=TaskState.FAILED)
    assert (lost, failed["task_id"], failed["worker"]) == (1, "a", "gone@here")
    assert left_behind.lose_of_the_gone(sessions, living=[], now=at + timedelta(minutes=1)) == 2


def test_process_speaks_up_for_what_it_has_in_hand(each_database: Database, write: Write) -> None:
    write(TaskState.RUNNING, n=1, worker="one@here", at=NOON - timedelta(days=9999))
    hold = Hold(each_database.sessions, "a", every_s=0.01)
    try:
        eventually(lambda: listed(each_database, since=NOON - timedelta(days=99)))
    finally:
        hold.let_go()

    assert left_behind.lose_of_the_gone(each_database.sessions, living=[]) == 0


def test_history_is_kept_as_long_as_it_is_to_be_kept(each_database: Database, write: Write) -> None:
    write(TaskState.DONE)
    month = timedelta(days=30)

    kept = tasks.prune(each_database.sessions, keep=month, now=NOON + month)
    gone = tasks.prune(each_database.sessions, keep=month, now=NOON + month + month)

    assert (kept, gone) == (0, 1)
    assert listed(each_database) == []


def test_list_is_filtered_by_state_name_and_time(each_database: Database, write: Write) -> None:
    write(TaskState.DONE, task_id="a", name="x.run")
    write(TaskState.FAILED, task_id="b", name="y.run")

    assert [row["name"] for row in listed(each_database)] == ["y.run", "x.run"]
    assert [row["name"] for row in listed(each_database, name="x.run")] == ["x.run"]
    assert [row["name"] for row in listed(each_database, state=TaskState.FAILED)] == ["y.run"]
    assert listed(each_database, since=NOON + timedelta(seconds=1)) == []
