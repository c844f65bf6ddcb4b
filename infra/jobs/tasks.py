"""What became of tasks: those a person can ask for, and every one that failed.

Rows are written after the work, in transactions of their own: work never waits for its history,
and is not undone when its history cannot be written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column, undefer

from infra import clock, outbox
from infra.db import Base, BigId, LongText, Sessions, UtcDateTime, binary_string, transact
from infra.errors import Conflict, NotFound
from infra.jobs.task_events import TOPIC, TaskData
from infra.outbox import Change

ERROR_LENGTH = 500
TRACEBACK_LENGTH = 20_000
PRUNE_BATCH = 500
# An event about the publishing of events would have to be published, and so on for ever.
UNTOLD = frozenset({"events.publish"})


class TaskState(StrEnum):
    """How a task stands; a failed one waits for a person, who has it tried again."""

    RUNNING = "running"
    FAILED = "failed"
    RETRIED = "retried"
    DONE = "done"


class TaskRun(Base):
    """One task, or one thing that a task took up; `task_id` is Celery's.

    `run` is one delivery of its message, and `n` counts what that took up. What is running and has
    an `ended_at` was put down then: nobody has it in hand until it is taken up again.
    `same_as` names what failed and how: the same failure again adds to `tries` of the same row.
    """

    __tablename__ = "task_run"
    __table_args__ = (
        sa.UniqueConstraint("run", "n"),
        sa.Index(None, "task_id"),
        sa.Index(None, "state", "id"),
        sa.Index(None, "name", "id"),
        sa.Index(None, "seen_at"),
        # SQLite would give a pruned row's id, and with it that row's events, to the next one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    task_id: Mapped[str] = mapped_column(binary_string(64))
    run: Mapped[str] = mapped_column(binary_string(64))
    n: Mapped[int] = mapped_column(sa.Integer)
    name: Mapped[str] = mapped_column(binary_string(80))
    queue: Mapped[str] = mapped_column(binary_string(40))
    state: Mapped[str] = mapped_column(binary_string(16))
    arguments: Mapped[str] = mapped_column(LongText)
    request_id: Mapped[str | None] = mapped_column(binary_string(64))
    worker: Mapped[str | None] = mapped_column(binary_string(150))
    tries: Mapped[int] = mapped_column(sa.Integer)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    runtime_ms: Mapped[int | None] = mapped_column(sa.BigInteger)
    error: Mapped[str | None] = mapped_column(sa.String(ERROR_LENGTH))
    traceback: Mapped[str | None] = mapped_column(LongText, deferred=True)
    same_as: Mapped[str | None] = mapped_column(binary_string(120), unique=True)
    version: Mapped[int] = mapped_column(sa.BigInteger)


IN_HAND = (TaskRun.state == TaskState.RUNNING, TaskRun.ended_at.is_(None))


class TaskNotFound(NotFound):
    """No such task was written down, or it is older than what is kept."""

    code = "task_not_found"

    def __init__(self, run_id: int) -> None:
        super().__init__(f"There is no task {run_id}.", task=run_id)


class TaskNotFailed(Conflict):
    """Only what failed can be tried again."""

    code = "task_not_failed"

    def __init__(self, run_id: int, state: str) -> None:
        super().__init__(
            f"Task {run_id} is {state}: only a failed one can be tried again.", state=state
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be written of one task, or of one thing it took up.

    `retry_of` is the row whose retry this was. A running thing is `put_down` when its task has
    ended and it has not.
    """

    task_id: str
    run: str
    name: str
    queue: str
    state: TaskState
    n: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    worker: str | None = None
    runtime_ms: int | None = None
    error: str | None = None
    traceback: str | None = None
    same_as: str | None = None
    retry_of: int | None = None
    put_down: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks to list; None is no condition."""

    state: TaskState | None = None
    name: str | None = None
    since: datetime | None = None


def record(session: Session, outcome: Outcome, *, now: datetime | None = None) -> None:
    """Write what became of a task, with an event unless it only began.

    Safe to repeat: the same task again adds a try to its own row.
    """
    at = now or clock.now(session)
    known = _find(session, outcome)
    if known is None:
        known = _begin(outcome, at=at)
        session.add(known)
    _write(session, known, outcome, at=at)


def fail(session: Session, run: TaskRun, error: str, *, at: datetime) -> None:
    """Write that what was in hand did not work out, and tell subscribers."""
    run.error = error[:ERROR_LENGTH]
    _end(run, at=at)
    _tell(session, run, TaskState.FAILED)


def retry(session: Session, run_id: int, *, now: datetime | None = None) -> bool:
    """Mark a failed task as tried again; False if it was already.

    Raises:
        TaskNotFound: there is none.
        TaskNotFailed: it has not failed.
    """
    run = session.get(TaskRun, run_id, with_for_update=True)
    if run is None:
        raise TaskNotFound(run_id)
    if run.state == TaskState.RETRIED:
        return False
    if run.state != TaskState.FAILED:
        raise TaskNotFailed(run_id, run.state)
    run.seen_at = now or clock.now(session)
    _tell(session, run, TaskState.RETRIED)
    return True


def get(session: Session, run_id: int) -> dict[str, Any]:
    """Read a task with its traceback.

    Raises:
        TaskNotFound: there is none.
    """
    run = session.get(TaskRun, run_id, options=[undefer(TaskRun.traceback)])
    if run is None:
        raise TaskNotFound(run_id)
    return {**public(run), "traceback": run.traceback}


def list_page(
    session: Session, wanted: Filter, *, below_id: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """List tasks, newest first, from below `below_id` on."""
    query = sa.select(TaskRun).order_by(TaskRun.id.desc()).limit(limit)
    if below_id is not None:
        query = query.where(TaskRun.id < below_id)
    if wanted.state is not None:
        query = query.where(TaskRun.state == wanted.state)
    if wanted.name is not None:
        query = query.where(TaskRun.name == wanted.name)
    if wanted.since is not None:
        query = query.where(TaskRun.seen_at >= wanted.since)
    return [public(run) for run in session.scalars(query)]


def count_failed(session: Session) -> int:
    """Count failed tasks that wait for a person."""
    waiting = sa.select(sa.func.count()).where(TaskRun.state == TaskState.FAILED)
    return session.scalar(waiting) or 0


def prune(sessions: Sessions, *, keep: timedelta, now: datetime | None = None) -> int:
    """Delete what was last seen longer ago than `keep`, a few hundred rows at a time."""
    deleted = 0
    while batch := transact(sessions, lambda session: _prune_batch(session, keep, now)):
        deleted += batch
    return deleted


def public(run: TaskRun) -> dict[str, Any]:
    """Show a task as the API does, without its traceback."""
    return {
        **_told(run),
        "tries": run.tries,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "runtime_ms": run.runtime_ms,
    }


def _told(run: TaskRun) -> dict[str, Any]:
    """Show what an event tells: nothing that changes without one."""
    told: TaskData = {
        "id": run.id,
        "task_id": run.task_id,
        "name": run.name,
        "queue": run.queue,
        "state": run.state,
        "arguments": orjson.loads(run.arguments),
        "request_id": run.request_id,
        "worker": run.worker,
        "error": run.error,
        "version": run.version,
    }
    return cast("dict[str, Any]", told)


def _find(session: Session, outcome: Outcome) -> TaskRun | None:
    """Find the row to write to: that of the retry, of the same task, or of the same failure."""
    if outcome.retry_of is not None:
        retried = session.get(TaskRun, outcome.retry_of, with_for_update=True)
        if retried is not None:
            return retried
    conditions = [sa.and_(TaskRun.run == outcome.run, TaskRun.n == outcome.n)]
    if outcome.same_as is not None:
        conditions.append(TaskRun.same_as == outcome.same_as)
    for condition in conditions:
        found = session.scalar(sa.select(TaskRun).where(condition).with_for_update())
        if found is not None:
            return found
    return None


def _begin(outcome: Outcome, *, at: datetime) -> TaskRun:
    took = timedelta(milliseconds=outcome.runtime_ms or 0)
    return TaskRun(
        task_id=outcome.task_id,
        run=outcome.run,
        n=outcome.n,
        name=outcome.name,
        queue=outcome.queue,
        state=TaskState.RUNNING,
        arguments=orjson.dumps(dict(outcome.arguments), default=str).decode(),
        request_id=outcome.request_id,
        worker=outcome.worker,
        tries=0,
        started_at=at - took,
        seen_at=at,
        version=0,
    )


def _write(session: Session, run: TaskRun, outcome: Outcome, *, at: datetime) -> None:
    run.seen_at = at
    if outcome.state is TaskState.RUNNING:
        run.state, run.same_as = TaskState.RUNNING, outcome.same_as
        run.task_id, run.run, run.n = outcome.task_id, outcome.run, outcome.n
        run.worker, run.ended_at = outcome.worker, at if outcome.put_down else None
        return
    was = TaskState(run.state)
    run.error = outcome.error[:ERROR_LENGTH] if outcome.error else None
    run.traceback = outcome.traceback[:TRACEBACK_LENGTH] if outcome.traceback else None
    run.runtime_ms = outcome.runtime_ms
    # What failed in the same way goes on adding to this row, until it has worked.
    failed = outcome.state is TaskState.FAILED
    run.same_as = (run.same_as or outcome.same_as) if failed else None
    _end(run, at=at)
    if was is not outcome.state:
        _tell(session, run, outcome.state)


def _end(run: TaskRun, *, at: datetime) -> None:
    run.tries += 1
    run.ended_at = run.seen_at = at


def _tell(session: Session, run: TaskRun, state: TaskState) -> None:
    """Bring a task into a state, and tell subscribers."""
    run.state = state
    run.version += 1
    session.flush()
    if run.name in UNTOLD:
        return
    change = Change(TOPIC, f"task.{state}", f"tasks/{run.id}", run.version, _told(run))
    outbox.record(session, [change])


def _prune_batch(session: Session, keep: timedelta, now: datetime | None) -> int:
    before = (now or clock.now(session)) - keep
    old = session.scalars(
        sa.select(TaskRun.id)
        .where(TaskRun.seen_at < before)
        .order_by(TaskRun.seen_at)
        .limit(PRUNE_BATCH)
    ).all()
    if old:
        session.execute(sa.delete(TaskRun).where(TaskRun.id.in_(old)))
    return len(old)
