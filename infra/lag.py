"""How far the streams are behind the database, and how long they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.backlog import MOST
from infra.outbox import Event, StreamState
from infra.streams import Streams, Tip


@dataclass(frozen=True, slots=True)
class Lag:
    """One topic: committed events that are not on its stream, and entries that are."""

    topic: str
    behind: int
    length: int


def measure(session: Session, streams: Streams, topics: Sequence[str]) -> list[Lag]:
    """Compare each topic's stream with the database.

    Raises:
        RedisDown: the streams cannot be read.
    """
    tips = streams.tips(topics)
    states = {state.topic: state for state in session.scalars(sa.select(StreamState))}
    return [
        Lag(topic, _unnumbered(session, topic) + _unsent(states.get(topic), tips[topic]), length)
        for topic, length in zip(topics, map(streams.length, topics), strict=True)
    ]


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
