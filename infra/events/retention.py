"""How long events stay: on the streams by age and length, in the database by age.

A stream is not cut past what a live group has not handled yet, unless it is longer than it may
ever be; then the cut is an alarm. Whoever missed something there reads it from the database.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.db import Sessions, transact
from infra.events import alarms, stream_scripts
from infra.events.alarms import Alarm
from infra.events.groups import life_key
from infra.outbox import Event, StreamState
from infra.redis import translated
from infra.streams import Streams, floor_key, stream_key, text_of

CUT = 10_000  # Redis does nothing else while it cuts: a few milliseconds
ROWS = 1000


@dataclass(frozen=True)
class Retention:
    """What is kept: entries for `entries`, at most `most`; rows for `rows`.

    A group whose consumers have been silent for `idle` holds up nothing.
    """

    sessions: Sessions
    streams: Streams
    topics: Sequence[str]
    entries: timedelta = timedelta(hours=24)
    most: int = 500_000
    idle: timedelta = timedelta(hours=72)
    rows: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Cut:
    """What was taken off one stream, and the groups that had not handled all of it."""

    by_age: int = 0
    by_length: int = 0
    past: tuple[str, ...] = ()

    @property
    def is_full(self) -> bool:
        """Tell whether there may be more to take."""
        return max(self.by_age, self.by_length) >= CUT


@dataclass(frozen=True, slots=True)
class Kept:
    """How much a run removed, and whether it stopped before the end."""

    removed: int
    left: bool


def trim(retention: Retention, *, budget_s: float) -> Kept:
    """Take what is too old, or too much, off every stream; begin no cut after `budget_s`.

    Safe to repeat and to run twice at once: a second cut finds nothing to take.

    Raises:
        RedisDown: the streams cannot be reached.
    """
    ends_at, removed = time.monotonic() + budget_s, 0
    tips = retention.streams.tips(retention.topics)
    for topic in retention.topics:
        if tips[topic].is_foreign or tips[topic].missing:
            continue  # the relay mends it first
        cut = Cut(by_age=CUT)
        while cut.is_full:
            if time.monotonic() >= ends_at:
                return Kept(removed, left=True)
            cut = _trim_topic(retention, topic)
            removed += cut.by_age + cut.by_length
    return Kept(removed, left=False)


def prune(retention: Retention, *, budget_s: float) -> Kept:
    """Delete old event rows, a thousand in a transaction; begin none after `budget_s`.

    A row goes only when its entry has been seen on its stream, and the last one of a topic stays.
    Safe to repeat and to run twice at once.
    """
    ends_at, removed = time.monotonic() + budget_s, 0
    for topic in retention.topics:
        with retention.sessions.begin() as session:
            after, before = _span_to_prune(session, topic, retention.rows)
        while after < before - 1:
            if time.monotonic() >= ends_at:
                return Kept(removed, left=True)
            count, after = _delete_rows(retention.sessions, topic, after=after, before=before)
            removed += count
    return Kept(removed, left=False)


def _trim_topic(retention: Retention, topic: str) -> Cut:
    with retention.sessions.begin() as session:
        young_from = _first_young_id(session, topic, retention.entries)
    script = retention.streams.client.register_script(stream_scripts.TRIM)
    with translated():
        by_age, by_length, *past = script(
            keys=[stream_key(topic), floor_key(topic), life_key(topic)],
            args=[young_from, retention.most, int(retention.idle.total_seconds() * 1000), CUT],
        )
    cut = Cut(int(by_age), int(by_length), tuple(sorted(text_of(name) for name in past)))
    if cut.past:
        transact(retention.sessions, lambda session: _tell(session, topic, cut))
    return cut


def _tell(session: Session, topic: str, cut: Cut) -> None:
    outbox.lock_state(session, topic)
    alarms.sound(
        session, topic, Alarm.TRIMMED_PAST_GROUP, groups=list(cut.past), entries=cut.by_length
    )


def _first_young_id(session: Session, topic: str, keep: timedelta) -> str:
    since = clock.now(session) - keep
    seq = outbox.first_seq_since(session, topic, since=since)
    young = None if seq is None else outbox.list_after(session, topic, seq=seq - 1, limit=1)
    if young:
        return f"{young[0].epoch}-{young[0].seq}"
    state = session.get_one(StreamState, topic)
    return f"{state.epoch}-{state.next_seq}"


def _span_to_prune(session: Session, topic: str, keep: timedelta) -> tuple[int, int]:
    """Find the numbers between which rows may go, both of which stay."""
    state = session.get(StreamState, topic)
    oldest = outbox.list_after(session, topic, seq=0, limit=1)
    if state is None or not oldest:
        return 0, 0
    young = outbox.first_seq_since(session, topic, since=clock.now(session) - keep)
    before = state.published if young is None else min(young, state.published)
    return oldest[0].seq - 1, before


def _delete_rows(sessions: Sessions, topic: str, *, after: int, before: int) -> tuple[int, int]:
    """Delete the next rows; return how many, and the number after which to go on.

    Going on from there keeps clear of the deleted ones, which the server clears away later.
    """

    def work(session: Session) -> tuple[int, int]:
        rows = session.execute(
            sa.select(Event.id, Event.seq)
            .where(Event.topic == topic, Event.seq > after, Event.seq < before)
            .order_by(Event.seq)
            .limit(ROWS)
        ).all()
        session.execute(sa.delete(Event).where(Event.id.in_([row.id for row in rows])))
        return len(rows), rows[-1].seq or before if rows else before

    return transact(sessions, work)
