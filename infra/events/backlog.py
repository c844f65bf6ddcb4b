"""How much is due, and since when: what the depth of a queue cannot say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.outbox import Event

# More than this is counted as this: an operator need not know, and counting on takes time.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one task will find: rows (at most `MOST`), and the instant the oldest fell due."""

    task: str
    rows: int
    oldest_at: datetime | None


def measure(
    session: Session,
    task: str,
    *,
    due_at: sa.ColumnElement[datetime],
    where: sa.ColumnElement[bool],
) -> Backlog:
    """Count what is due under a condition that an index on `due_at` serves."""
    some = sa.select(due_at.label("due_at")).where(where).order_by(due_at).limit(MOST).subquery()
    rows, oldest = session.execute(
        sa.select(sa.func.count(), sa.func.min(some.c.due_at)).select_from(some)
    ).one()
    return Backlog(task, rows, oldest)


def measure_events(session: Session, task: str, *, topics: Sequence[str]) -> Backlog:
    """Count committed events that have no number yet."""
    waiting = [
        sa.select(Event.time).where(Event.topic == topic, Event.seq.is_(None)).limit(MOST)
        for topic in topics
    ]
    parts = [sa.select(part.subquery().c.time) for part in waiting]
    every = sa.union_all(*parts).subquery()
    rows, oldest = session.execute(
        sa.select(sa.func.count(), sa.func.min(every.c.time)).select_from(every)
    ).one()
    return Backlog(task, min(rows, MOST), oldest)
