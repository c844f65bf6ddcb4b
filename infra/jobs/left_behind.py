"""What killed processes leave in the history: rows that say `running`, with nobody at them.

Who has something in hand says so every few seconds, by the database's clock (`infra/jobs/hold`).
Should a process be alive all the same, its row is `done` after all when its work is.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from infra.db import Sessions, transact
from infra.jobs import tasks
from infra.jobs.tasks import IN_HAND, TaskRun, TaskState

# Six signs missed, and so longer than a database takes to come back.
SILENT_FOR = timedelta(seconds=60)
_BATCH = 500
_WORKER_LOST = "WorkerLost: the worker ended while it was at work"


def keep(session: Session, run: str, *, now: datetime | None = None) -> None:
    """Say that a run still has in hand what it took up."""
    session.execute(
        sa.update(TaskRun)
        .where(TaskRun.run == run, *IN_HAND)
        .values(seen_at=now or clock.now(session))
        .execution_options(synchronize_session=False)
    )


def lose(session: Session, *, task_id: str, error: str, now: datetime | None = None) -> int:
    """Fail what a task had in hand when its process was killed; return how many things."""
    return _lose(session, TaskRun.task_id == task_id, error=error, at=now or clock.now(session))


def is_known_failed(session: Session, task_id: str) -> bool:
    """Tell whether a failure of this task has been written down."""
    known = sa.select(TaskRun.id).where(
        TaskRun.task_id == task_id, TaskRun.state == TaskState.FAILED
    )
    return session.scalar(known.limit(1)) is not None


def lose_overdue(sessions: Sessions, *, older_than: timedelta, now: datetime | None = None) -> int:
    """Fail what nobody has spoken of for longer than any run takes, whoever had it in hand."""
    return _lose_silent(sessions, older_than, now=now)


def lose_of(
    sessions: Sessions, worker: str, *, older_than: timedelta, now: datetime | None = None
) -> int:
    """Fail what one worker had in hand: an earlier process of its name is gone."""
    return _lose_silent(sessions, older_than, TaskRun.worker == worker, now=now)


def lose_of_the_gone(
    sessions: Sessions, *, living: Collection[str], now: datetime | None = None
) -> int:
    """Fail what workers had in hand that are not among the living, and say nothing here either.

    Two signs must be missing: a worker that is cut off from one server only keeps its rows.
    """
    gone = (TaskRun.worker.is_not(None), TaskRun.worker.not_in(living))
    return _lose_silent(sessions, SILENT_FOR, *gone, now=now)


def _lose_silent(
    sessions: Sessions,
    silent_for: timedelta,
    *those: sa.ColumnElement[bool],
    now: datetime | None,
) -> int:
    """Fail what has been in hand without a word for so long, in transactions of a task each."""

    def conditions(at: datetime) -> tuple[sa.ColumnElement[bool], ...]:
        return (TaskRun.seen_at < at - silent_for, *those)

    def find(session: Session) -> list[str]:
        found = sa.select(TaskRun.task_id).where(*IN_HAND, *conditions(now or clock.now(session)))
        return list(session.scalars(found.limit(_BATCH)))

    def lose_one(session: Session, task_id: str) -> int:
        # Looked at again: somebody may have spoken since.
        at = now or clock.now(session)
        of_task = TaskRun.task_id == task_id
        return _lose(session, of_task, *conditions(at), error=_WORKER_LOST, at=at)

    found = sorted(set(transact(sessions, find)))
    return sum(transact(sessions, lambda session: lose_one(session, it)) for it in found)  # noqa: B023 - runs at once


def _lose(session: Session, *conditions: sa.ColumnElement[bool], error: str, at: datetime) -> int:
    query = sa.select(TaskRun).where(*conditions, *IN_HAND).with_for_update()
    lost = session.scalars(query).all()
    for run in lost:
        tasks.fail(session, run, error, at=at)
    return len(lost)
