"""The mirror: numbers committed events and puts them on their streams, each exactly once.

The cursor is the stream's own last id. So one path serves a crash between any two lines, two relays
at once, a lost tail and FLUSHALL: look where the stream stands, send what comes after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, failpoints, outbox
from infra.db import Sessions, transact
from infra.logs import log
from infra.outbox import Numbered, StreamState
from infra.streams import ABSENT, Streams, Tip


@dataclass(frozen=True)
class Relay:
    """What a relay works with; `retention` bounds how far back an empty stream is filled."""

    sessions: Sessions
    streams: Streams
    topics: Sequence[str]
    retention: timedelta = timedelta(hours=24)


@dataclass(frozen=True)
class _Step:
    after: str
    events: list[Numbered]


def publish(relay: Relay) -> int:
    """Bring every topic's stream up to date; return how many entries were added.

    Safe to repeat and to run twice at once: an entry is added only right behind the one before it.

    Raises:
        RedisDown: the streams cannot be reached; nothing was numbered that could not be sent later.
    """
    return sum(_drain(relay, topic) for topic in _behind(relay))


def _behind(relay: Relay) -> list[str]:
    tips = relay.streams.tips(relay.topics)

    def look(session: Session) -> list[str]:
        waiting = outbox.unnumbered_topics(session, relay.topics)
        states = {state.topic: state for state in session.scalars(sa.select(StreamState))}
        return [
            topic
            for topic in relay.topics
            if topic in waiting or not _is_level(tips[topic], states.get(topic))
        ]

    with relay.sessions.begin() as session:
        return look(session)


def _is_level(tip: Tip, state: StreamState | None) -> bool:
    if tip.foreign or state is None:
        return False
    if tip.last_id == ABSENT:
        return state.next_seq == 1
    return (tip.epoch, tip.seq) == (state.epoch, state.next_seq - 1)


def _drain(relay: Relay, topic: str) -> int:
    added = 0
    while True:
        step = transact(relay.sessions, lambda session: _advance(session, relay, topic))
        if not step.events:
            return added
        failpoints.reach("events.numbered")
        if relay.streams.append(topic, after=step.after, events=step.events):
            added += len(step.events)
            failpoints.reach("events.published")


def _advance(session: Session, relay: Relay, topic: str) -> _Step:
    """Give numbers to what has been committed, and read what the stream lacks.

    All under the topic's lock. The stream is looked at before anything is numbered: a restored
    database would otherwise hand out numbers that subscribers have seen on other events.
    """
    state = outbox.lock_state(session, topic)
    tip = relay.streams.tips([topic])[topic]
    tip = _without_foreign(relay, state, tip)
    _open_epoch_if_restored(session, state, tip)
    outbox.number(session, state)
    after = _seq_before(session, relay, state, tip)
    session.flush()
    return _Step(after=tip.last_id, events=outbox.list_after(session, topic, seq=after))


def _without_foreign(relay: Relay, state: StreamState, tip: Tip) -> Tip:
    """Delete a stream that somebody else wrote to; it is filled again under the same ids."""
    trimmed_beyond = tip.entry is None and tip.epoch > state.epoch
    if not tip.foreign and not trimmed_beyond:
        return tip
    log.error("stream_foreign_write", topic=state.topic, last_id=tip.last_id)
    relay.streams.delete(state.topic, at=tip.last_id)
    return Tip(ABSENT)


def _open_epoch_if_restored(session: Session, state: StreamState, tip: Tip) -> None:
    if tip.last_id == ABSENT or tip.epoch < state.epoch or _is_known(session, state, tip):
        return
    log.error(
        "stream_ahead_of_database", topic=state.topic, last_id=tip.last_id, next=state.next_seq
    )
    state.epoch = tip.epoch + 1


def _is_known(session: Session, state: StreamState, tip: Tip) -> bool:
    if tip.epoch != state.epoch or tip.seq >= state.next_seq:
        return False
    event = outbox.find_numbered(session, state.topic, seq=tip.seq)
    return event is None or tip.shows(event)


def _seq_before(session: Session, relay: Relay, state: StreamState, tip: Tip) -> int:
    if tip.last_id == ABSENT:
        since = clock.now(session) - relay.retention
        oldest = outbox.oldest_seq_since(session, state.topic, since=since)
        return state.next_seq - 1 if oldest is None else oldest - 1
    if tip.epoch < state.epoch:
        return outbox.first_seq_of_epoch(session, state) - 1
    return tip.seq
