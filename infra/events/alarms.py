"""What was wrong with a stream, how often, and when last: counted where no flush forgets it."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock
from infra.db import Base, UtcDateTime, binary_string
from infra.logs import log


class Alarm(StrEnum):
    """What happened to a stream that nobody but the relay and retention should touch."""

    WRONG_TYPE = "wrong_type"
    FOREIGN_WRITE = "foreign_write"
    STREAM_GONE = "stream_gone"
    TAIL_LOST = "tail_lost"
    ENTRIES_MISSING = "entries_missing"
    DATABASE_RESTORED = "database_restored"
    TRIMMED_PAST_GROUP = "trimmed_past_group"
    REBUILT = "rebuilt"


class StreamAlarm(Base):
    """How often one thing happened to one topic's stream."""

    __tablename__ = "stream_alarm"

    topic: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    kind: Mapped[str] = mapped_column(binary_string(30), primary_key=True)
    count: Mapped[int] = mapped_column(sa.BigInteger)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


def sound(session: Session, topic: str, kind: Alarm, **details: object) -> None:
    """Log one occurrence and count it; the topic's `stream_state` must be locked."""
    log.error("stream_alarm", topic=topic, kind=kind.value, **details)
    now = clock.now(session)
    known = session.get(StreamAlarm, (topic, kind.value))
    if known is None:
        session.add(StreamAlarm(topic=topic, kind=kind.value, count=1, last_at=now))
    else:
        known.count, known.last_at = known.count + 1, now


def tell_group_moved(topic: str, group: str, *, at: str, pending: int) -> None:
    """Log that a group stands at `at` again; what it had pending comes once more."""
    log.warning("stream_group_moved", topic=topic, group=group, at=at, pending=pending)


def list_alarms(session: Session) -> list[StreamAlarm]:
    """List what ever happened, by topic and kind."""
    return list(
        session.scalars(sa.select(StreamAlarm).order_by(StreamAlarm.topic, StreamAlarm.kind))
    )
