"""How far the streams are behind the database, and how long they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from infra.events.backlog import MOST
from infra.outbox import Event, StreamState
from infra.streams import Streams, Tip


@dataclass(frozen=True, slots=True)
class Lag:
    """One topic: committed events that are not on its stream, since when, and entries that are."""

    topic: str
    behind: int
    oldest_s: float
    length: int


def measure(session: Session, streams: Streams, topics: Sequence[str]) -> list[Lag]:
    """Compare each topic's stream with the database.

    Raises:
        RedisDown: the streams cannot be read.
    """
    tips = streams.tips(topics)
    states = {state.topic: state for state in session.scalars(sa.select(StreamState))}
    return [_lag(session, streams, states.get(topic), topic, tips[topic]) for topic in topics]


def _lag(
    session: Session, streams: Streams, state: StreamState | None, topic: str, tip: Tip
) -> Lag:
    unsent = _unsent(state, tip)
    behind = _unnumbered(session, topic) + unsent
    length = streams.length(topic) if tip.is_stream else 0
    return Lag(topic, behind, _waits_s(session, topic, tip, unsent) if behind else 0.0, length)


def _waits_s(session: Session, topic: str, tip: Tip, unsent: int) -> float:
    """Tell for how long the first event has waited that is not on the stream."""
    if unsent:
        first = sa.select(Event.time).where(Event.topic == topic, Event.seq > tip.seq)
        time = session.scalar(first.order_by(Event.seq).limit(1))
    else:
        first = sa.select(Event.time).where(Event.topic == topic, Event.seq.is_(None))
        time = session.scalar(first.order_by(Event.id).limit(1))
    return max(0.0, (clock.now(session) - time).total_seconds()) if time else 0.0


def _unnumbered(session: Session, topic: str) -> int:
    waiting = sa.select(Event.id).where(Event.topic == topic, Event.seq.is_(None)).limit(MOST)
    return session.scalar(sa.select(sa.func.count()).select_from(waiting.subquery())) or 0


def _unsent(state: StreamState | None, tip: Tip) -> int:
    """Count numbers given and not sent; a stream that is not there lacks nothing that is counted.

    How much of the past an absent stream is filled with, is for the relay to decide.
    """
    if state is None or tip.is_foreign or tip.seq == 0:
        return 0
    return max(0, state.next_seq - 1 - tip.seq)
