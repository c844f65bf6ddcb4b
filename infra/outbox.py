"""Event rows: written in the transaction of the change they tell of, numbered after its commit.

A row gets its number within its topic only once it is visible, from one writer at a time, because
auto-increment ids are not in commit order. `infra/relay.py` mirrors numbered rows onto the streams.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock
from infra.db import Base, BigId, LongText, UtcDateTime, binary_string
from infra.errors import AppError
from infra.logs import log
from infra.rows import insert_rows, table_of

BATCH = 500


class Event(Base):
    """One committed change of one aggregate; `epoch` and `seq` are written once, by `number`."""

    __tablename__ = "event"
    __table_args__ = (
        sa.UniqueConstraint("topic", "subject", "version"),
        sa.UniqueConstraint("topic", "epoch", "seq"),
        sa.Index(None, "topic", "seq"),
        sa.Index(None, "time"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    topic: Mapped[str] = mapped_column(binary_string(40))
    subject: Mapped[str] = mapped_column(binary_string(100))
    version: Mapped[int] = mapped_column(sa.BigInteger)
    type: Mapped[str] = mapped_column(binary_string(40))
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    data: Mapped[str] = mapped_column(LongText)
    epoch: Mapped[int | None] = mapped_column(sa.Integer)
    seq: Mapped[int | None] = mapped_column(sa.BigInteger)


class StreamState(Base):
    """Where a topic's numbers stand; its row lock is what makes numbering serial."""

    __tablename__ = "stream_state"

    topic: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    epoch: Mapped[int] = mapped_column(sa.Integer)
    next_seq: Mapped[int] = mapped_column(sa.BigInteger)


class StreamUnknown(AppError):
    """The topic has no `stream_state` row; the migrations make one for each."""

    code = "stream_unknown"


_NUMBERED = (
    Event.topic,
    Event.epoch,
    Event.seq,
    Event.type,
    Event.subject,
    Event.version,
    Event.time,
    Event.data,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one aggregate: `subject` is `<noun>/<id>`, `data` its public form."""

    topic: str
    type: str
    subject: str
    version: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A numbered event row, ready to be published."""

    topic: str
    epoch: int
    seq: int
    type: str
    subject: str
    version: int
    time: datetime
    data: str


def record(session: Session, changes: Iterable[Change]) -> None:
    """Write event rows for changes of this transaction.

    Rows of one topic stand together, so that they get adjoining ids and are numbered in one go.
    """
    time = clock.now(session)
    rows = [
        {
            "topic": change.topic,
            "subject": change.subject,
            "version": change.version,
            "type": change.type,
            "time": time,
            "data": orjson.dumps(change.data, option=orjson.OPT_UTC_Z).decode(),
        }
        for change in sorted(changes, key=lambda change: change.topic)
    ]
    insert_rows(session, table_of(Event), rows)


def unnumbered_topics(session: Session, topics: Sequence[str]) -> set[str]:
    """Tell which topics have committed events without a number; one index probe for each."""
    probes = [
        sa.select(sa.literal(topic).label("topic")).where(
            sa.exists().where(Event.topic == topic, Event.seq.is_(None))
        )
        for topic in topics
    ]
    return set(session.scalars(sa.union_all(*probes)))


def lock_state(session: Session, topic: str) -> StreamState:
    """Take the topic's row lock: until commit nobody else numbers this topic.

    Raises:
        StreamUnknown: the topic was never set up.
    """
    state = session.get(StreamState, topic, with_for_update=True)
    if state is None:
        raise StreamUnknown(f"No stream state for topic {topic}: run the migrations.")
    return state


def number(session: Session, state: StreamState, *, limit: int = BATCH) -> int:
    """Give the next numbers to committed events of a locked topic; return how many got one."""
    waiting = session.execute(
        sa.select(Event.id, Event.subject, Event.version)
        .where(Event.topic == state.topic, Event.seq.is_(None))
        .order_by(Event.id)
        .limit(limit)
    ).all()
    ids = _in_version_order(
        session, state.topic, [(row.id, row.subject, row.version) for row in waiting]
    )
    updates = []
    for first, last in _runs(ids):
        updates.append({"lowest": first, "highest": last, "shift": state.next_seq - first})
        state.next_seq += last - first + 1
    if updates:
        _write_numbers(session, state, updates)
    return len(ids)


def list_after(session: Session, topic: str, *, seq: int, limit: int = BATCH) -> list[Numbered]:
    """List numbered events of a topic above `seq`, in order."""
    rows = session.execute(
        sa.select(*_NUMBERED)
        .where(Event.topic == topic, Event.seq > seq)
        .order_by(Event.seq)
        .limit(limit)
    )
    return [Numbered(*row) for row in rows]  # type: ignore[arg-type] # epoch and seq are set


def find_numbered(session: Session, topic: str, *, seq: int) -> Numbered | None:
    """Find the event with this number."""
    rows = list_after(session, topic, seq=seq - 1, limit=1)
    return rows[0] if rows and rows[0].seq == seq else None


def first_seq_of_epoch(session: Session, state: StreamState) -> int:
    """Find the first number of the present epoch; the next one, if it has none yet."""
    first = session.scalar(
        sa.select(sa.func.min(Event.seq)).where(
            Event.topic == state.topic, Event.epoch == state.epoch
        )
    )
    return state.next_seq if first is None else first


def oldest_seq_since(session: Session, topic: str, *, since: datetime) -> int | None:
    """Find the lowest number among a topic's events of `since` or later."""
    return session.scalar(
        sa.select(sa.func.min(Event.seq)).where(
            Event.topic == topic, Event.seq.is_not(None), Event.time >= since
        )
    )


def _write_numbers(session: Session, state: StreamState, updates: list[dict[str, int]]) -> None:
    table = Event.__table__
    session.execute(
        sa.update(table)  # type: ignore[arg-type] # declared as FromClause
        .where(table.c.id.between(sa.bindparam("lowest"), sa.bindparam("highest")))
        .values(seq=table.c.id + sa.bindparam("shift"), epoch=state.epoch),
        updates,
    )


def _in_version_order(
    session: Session, topic: str, waiting: list[tuple[int, str, int]]
) -> list[int]:
    """Keep the events whose aggregate's versions follow each other; hold the others back."""
    last = _last_versions(
        session, topic, {subject for _, subject, version in waiting if version > 1}
    )
    ready = []
    for event_id, subject, version in waiting:
        # Without a numbered one before it, this is the first, or the others have been pruned.
        if subject in last and version != last[subject] + 1:
            log.error("event_out_of_version_order", topic=topic, subject=subject, version=version)
            continue
        last[subject] = version
        ready.append(event_id)
    return ready


def _last_versions(session: Session, topic: str, subjects: set[str]) -> dict[str, int]:
    if not subjects:
        return {}
    rows = session.execute(
        sa.select(Event.subject, sa.func.max(Event.version))
        .where(Event.topic == topic, Event.subject.in_(subjects), Event.seq.is_not(None))
        .group_by(Event.subject)
    )
    return dict(rows.all())


def _runs(ids: list[int]) -> list[tuple[int, int]]:
    """Fold ascending ids into runs without a gap.

    A gap may hide a row of another transaction that is not visible yet, so no run reaches over one.
    """
    runs: list[tuple[int, int]] = []
    for event_id in ids:
        if runs and runs[-1][1] + 1 == event_id:
            runs[-1] = (runs[-1][0], event_id)
        else:
            runs.append((event_id, event_id))
    return runs
