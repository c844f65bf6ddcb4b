"""Event rows: written in the transaction of the change they tell of, numbered after its commit.

`infra/events/numbering.py` numbers them, `infra/events/relay.py` mirrors the numbered ones onto
the streams.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, trace
from infra.database.rows import insert_rows, table_of
from infra.db import Base, BigId, LongText, UtcDateTime, binary_string
from infra.errors import AppError

PAGE = 500


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
    request_id: Mapped[str | None] = mapped_column(binary_string(trace.LENGTH))
    epoch: Mapped[int | None] = mapped_column(sa.Integer)
    seq: Mapped[int | None] = mapped_column(sa.BigInteger)


class StreamState(Base):
    """Where a topic's numbers and its stream stand; the row lock makes numbering serial."""

    __tablename__ = "stream_state"

    topic: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    epoch: Mapped[int] = mapped_column(sa.Integer)
    next_seq: Mapped[int] = mapped_column(sa.BigInteger)
    # How far the stream had come when a relay last saw it, in the present epoch.
    published: Mapped[int] = mapped_column(sa.BigInteger, default=0, server_default="0")


class StreamUnknown(AppError):
    """The topic has no `stream_state` row; the migrations make one for each."""

    code = "stream_unknown"

    def __init__(self, topic: str) -> None:
        super().__init__(f"No stream state for topic {topic}: run the migrations.")


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


def record(
    session: Session,
    changes: Iterable[Change],
    *,
    asked_by: Mapping[str, str | None] | None = None,
) -> None:
    """Write event rows for changes of this transaction.

    Rows of one topic stand together, so that they get adjoining ids and are numbered in one go.
    `asked_by` names the request behind a subject, where that is not the one being served.
    """
    time, serving, known = clock.now(session), trace.request_id(), asked_by or {}
    rows = [
        {
            "topic": change.topic,
            "subject": change.subject,
            "version": change.version,
            "type": change.type,
            "time": time,
            "data": orjson.dumps(change.data, option=orjson.OPT_UTC_Z).decode(),
            "request_id": known.get(change.subject, serving),
        }
        for change in sorted(changes, key=lambda change: change.topic)
    ]
    insert_rows(session, table_of(Event), rows)


def lock_state(session: Session, topic: str) -> StreamState:
    """Take the topic's row lock: until commit nobody else numbers this topic.

    Raises:
        StreamUnknown: the topic was never set up.
    """
    state = session.get(StreamState, topic, with_for_update=True)
    if state is None:
        raise StreamUnknown(topic)
    return state


def find_free_state(session: Session, topic: str) -> StreamState | None:
    """Take the topic's row lock, or None at once while somebody else has it.

    Raises:
        StreamUnknown: the topic was never set up.
    """
    free = sa.select(StreamState).where(StreamState.topic == topic)
    state = session.scalar(free.with_for_update(skip_locked=True))
    if state is None and session.get(StreamState, topic) is None:
        raise StreamUnknown(topic)
    return state


def note_published(session: Session, reached: Mapping[str, tuple[int, int]]) -> None:
    """Note the epoch and number that each topic's stream has come to, unless it is further."""
    table = table_of(StreamState)
    last = sa.bindparam("last", type_=sa.BigInteger)
    further = (
        sa.update(table)
        .where(
            table.c.topic == sa.bindparam("of"),
            table.c.epoch == sa.bindparam("now"),
            table.c.published < last,
        )
        .values(published=last)
    )
    # In one order for all: two relays that note at once must not wait for each other in a circle.
    rows = [{"of": it, "now": epoch, "last": seq} for it, (epoch, seq) in sorted(reached.items())]
    session.execute(further, rows)


def list_after(session: Session, topic: str, *, seq: int, limit: int = PAGE) -> list[Numbered]:
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


def first_seq_since(session: Session, topic: str, *, since: datetime) -> int | None:
    """Find the first number given to an event of `since` or later; None if all are older.

    Numbers follow time but for moments, so that a search by halves will do: it costs the same
    however many events there are.
    """
    lowest, highest = (
        _edge(session, topic, Event.seq.asc()),
        _edge(session, topic, Event.seq.desc()),
    )
    if lowest is None or highest is None:
        return None
    low, high = lowest, highest + 1
    while low < high:
        middle = (low + high) // 2
        row = session.execute(
            sa.select(Event.seq, Event.time)
            .where(Event.topic == topic, Event.seq >= middle)
            .order_by(Event.seq)
            .limit(1)
        ).one()
        if row.time >= since:
            high = middle
        else:
            low = (row.seq or middle) + 1
    return low if low <= highest else None


def _edge(session: Session, topic: str, order: sa.ColumnElement[Any]) -> int | None:
    return session.scalar(
        sa.select(Event.seq)
        .where(Event.topic == topic, Event.seq.is_not(None))
        .order_by(order)
        .limit(1)
    )
