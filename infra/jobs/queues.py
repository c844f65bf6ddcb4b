"""Queues that a person has paused: a row says so, and the tasks themselves look at it.

The row is the pause, as it is the work: no restart of a worker or of Redis forgets it. A paused
queue's messages are taken and dropped; what is due stays due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock
from infra.db import Base, BigId, UtcDateTime, binary_string
from infra.errors import Conflict

REASON_LENGTH = 200


class QueuePause(Base):
    """A queue that is paused, why and by whom; `passes` tasks may run all the same.

    Without `paused_by` it was the command line.
    """

    __tablename__ = "queue_pause"

    queue: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    reason: Mapped[str] = mapped_column(sa.String(REASON_LENGTH))
    paused_by: Mapped[int | None] = mapped_column(BigId)
    paused_at: Mapped[datetime] = mapped_column(UtcDateTime)
    passes: Mapped[int] = mapped_column(sa.Integer)


class QueueNotPaused(Conflict):
    """A single run is let through a paused queue only."""

    code = "queue_not_paused"

    def __init__(self, queue: str) -> None:
        super().__init__(f"The queue {queue} is not paused: its tasks run anyway.")


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a queue is paused, and by whom."""

    queue: str
    reason: str
    paused_by: int | None
    paused_at: datetime
    passes: int


def list_pauses(session: Session) -> dict[str, Pause]:
    """List the queues that are paused, by name."""
    rows: Sequence[QueuePause] = session.scalars(sa.select(QueuePause)).all()
    return {
        row.queue: Pause(row.queue, row.reason, row.paused_by, row.paused_at, row.passes)
        for row in rows
    }


def pause(session: Session, queue: str, *, reason: str, by: int | None) -> None:
    """Pause a queue; one that is paused stays so, for the new reason."""
    row = session.get(QueuePause, queue, with_for_update=True)
    if row is None:
        row = QueuePause(queue=queue, paused_at=clock.now(session), passes=0)
        session.add(row)
    row.reason, row.paused_by = reason, by
    session.flush()


def resume(session: Session, queue: str) -> bool:
    """Let a queue's tasks run again; False if it was not paused."""
    gone = session.execute(sa.delete(QueuePause).where(QueuePause.queue == queue))
    return bool(gone.rowcount)  # type: ignore[attr-defined] # a DELETE has one


def let_one_through(session: Session, queue: str) -> None:
    """Let the next task of a paused queue run, to see whether it works again; once, however often.

    Raises:
        QueueNotPaused: it is not paused.
    """
    row = session.get(QueuePause, queue, with_for_update=True)
    if row is None:
        raise QueueNotPaused(queue)
    row.passes = 1
    session.flush()


def take_pass(session: Session, queue: str) -> bool:
    """Take the one run that is let through, if nobody has; what says so is the row count."""
    taken = session.execute(
        sa.update(QueuePause)
        .where(QueuePause.queue == queue, QueuePause.passes > 0)
        .values(passes=QueuePause.passes - 1)
        .execution_options(synchronize_session=False)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined] # an UPDATE has one
