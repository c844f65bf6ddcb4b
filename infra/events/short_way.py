"""The short way onto the streams: the few new events of all topics, in one transaction.

A topic in any way out of the ordinary is left as it is, for the relay to look at closely.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, failpoints
from infra.database.prepared import Prepared
from infra.database.rows import among_given, chosen_given, table_of
from infra.db import Sessions, transact
from infra.outbox import Event, Numbered, StreamState
from infra.streams import Streams, Tip

# Above so many it pays to read the events while the next ones get their numbers.
FEW = 100
_EVENT, _STATE = table_of(Event), table_of(StreamState)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a topic's numbers and its stream have come, and whether events wait for numbers."""

    topic: str
    epoch: int
    next_seq: int
    published: int
    waits: int = 0

    def is_level_with(self, tip: Tip) -> bool:
        """Tell whether the stream holds all that has a number."""
        if tip.is_foreign or tip.missing:
            return False
        if tip.is_unused:
            return self.next_seq == 1
        return (tip.epoch, tip.seq) == (self.epoch, self.next_seq - 1)


def look(session: Session) -> dict[str, Standing]:
    """Read where all topics stand, in one statement: an index probe for each."""
    return {row[0]: Standing(*row) for row in _LOOK.run(session).rows}


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the topics that had something new: how many events of each were added.

    `locked` are those that another relay is at, `left` those that want a closer look. `seen` says
    where all topics stand now.
    """

    added: Mapping[str, int]
    locked: Sequence[str]
    left: Sequence[str]
    seen: Mapping[str, Standing]


def send(sessions: Sessions, streams: Streams, topics: Sequence[str]) -> Sent:
    """Give numbers to what is new of these topics, and put it on their streams.

    Left out are topics that have many events or one out of turn, and whose stream is not where it
    should be. Whatever becomes of the adding, an entry is only put right behind the one before it,
    and the stream's last id tells where to go on.

    Raises:
        RedisDown: nobody knows what was added.
    """
    found = transact(sessions, lambda session: _number(session, streams, topics))
    if found.batches:
        failpoints.reach("events.numbered")
    added = {
        batch.topic: len(batch.events)
        for batch in found.batches
        if streams.append(batch.topic, after=batch.after, events=batch.events)
    }
    if added:
        failpoints.reach("events.published")
    left = [topic for topic in found.waiting if topic not in added and topic not in found.locked]
    return Sent(added, found.locked, left, found.seen)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events of one topic with their numbers, to be added behind an id; `row_ids` are theirs."""

    topic: str
    after: str
    row_ids: Sequence[int]
    events: Sequence[Numbered]

    @property
    def ends(self) -> Standing:
        """Where the topic stands with them."""
        first, last = self.events[0], self.events[-1]
        return Standing(self.topic, last.epoch, last.seq + 1, published=first.seq - 1)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look has shown, and the batches that have got their numbers by it."""

    seen: Mapping[str, Standing]
    waiting: Sequence[str] = ()
    locked: Sequence[str] = ()
    batches: Sequence[_Batch] = ()


def _number(session: Session, streams: Streams, topics: Sequence[str]) -> _Found:
    """Lock the topics that have something new, look at their streams, and number it."""
    seen = look(session)
    waiting = [topic for topic in topics if topic in seen and seen[topic].waits]
    if not waiting:
        return _Found(seen)
    taken = [Standing(*row) for row in _lock(session, waiting)]
    tips = streams.tips([standing.topic for standing in taken])
    batches = [
        batch
        for standing in taken
        if _is_sound(session, standing, tips[standing.topic])
        and (batch := _batch_of(session, standing, tips[standing.topic]))
    ]
    _write(session, batches)
    free = {standing.topic for standing in taken}
    locked = [topic for topic in waiting if topic not in free]
    return _Found(seen | {batch.topic: batch.ends for batch in batches}, waiting, locked, batches)


def _lock(session: Session, topics: Sequence[str]) -> Sequence[tuple[Any, ...]]:
    names = {f"topic_{n}": topic for n, topic in enumerate(topics)}
    return _locking(len(topics)).run(session, **names).rows


def _is_sound(session: Session, standing: Standing, tip: Tip) -> bool:
    """Tell whether the stream ends with the event that was numbered last, as the database has it.

    A restored database would otherwise hand out numbers that subscribers have seen on others.
    """
    if tip.is_unused or not standing.is_level_with(tip):
        return False
    rows = _NEWEST.run(session, of=standing.topic, at=tip.seq).rows
    return not rows or tip.shows(_numbered(standing, tip.seq, rows[0]))


def _batch_of(session: Session, standing: Standing, tip: Tip) -> _Batch | None:
    rows = _WAITING.run(session, of=standing.topic, most=FEW + 1).rows
    if not rows or len(rows) > FEW or not _is_in_turn(rows):
        return None
    events = [
        _numbered(standing, seq, row[2:]) for seq, row in enumerate(rows, start=standing.next_seq)
    ]
    return _Batch(standing.topic, tip.last_id, [row[0] for row in rows], events)


def _is_in_turn(rows: Iterable[Sequence[Any]]) -> bool:
    """Tell whether each event's forerunner has a number, or gets one now."""
    last: dict[str, int] = {}
    for _, forerunner, _, subject, version, *_ in rows:
        if not (version == 1 or forerunner is not None or last.get(subject) == version - 1):
            return False
        last[subject] = version
    return True


def _write(session: Session, batches: Iterable[_Batch]) -> None:
    by_epoch: dict[int, dict[int, int]] = {}
    for batch in batches:
        numbers = (event.seq for event in batch.events)
        given = by_epoch.setdefault(batch.events[0].epoch, {})
        given.update(zip(batch.row_ids, numbers, strict=True))
        ends = batch.ends
        _GO_ON.run(session, of=ends.topic, next_seq=ends.next_seq, published=ends.published)
    for epoch, given in by_epoch.items():
        _NUMBER.run(session, ids=tuple(given), numbers=given, epoch=epoch)


def _numbered(standing: Standing, seq: int, told: Sequence[Any]) -> Numbered:
    kind, subject, version, time, data = told
    time = clock.instant(time)
    return Numbered(standing.topic, standing.epoch, seq, kind, subject, version, time, data)


@cache
def _locking(count: int) -> Prepared:
    """Lock topics in one order for all: two relays must not wait for each other in a circle."""
    state = sa.select(*(_STATE.c[name] for name in ("topic", "epoch", "next_seq", "published")))
    named = _STATE.c.topic.in_([sa.bindparam(f"topic_{n}") for n in range(count)])
    return Prepared(state.where(named).order_by(_STATE.c.topic).with_for_update(skip_locked=True))


_LOOK = Prepared(
    sa.select(
        _STATE.c.topic,
        _STATE.c.epoch,
        _STATE.c.next_seq,
        _STATE.c.published,
        sa.exists().where(_EVENT.c.topic == _STATE.c.topic, _EVENT.c.seq.is_(None)),
    )
)
_TOLD = tuple(_EVENT.c[name] for name in ("type", "subject", "version", "time", "data"))
_NEWEST = Prepared(
    sa.select(*_TOLD).where(
        _EVENT.c.topic == sa.bindparam("of"), _EVENT.c.seq == sa.bindparam("at")
    )
)
_BEFORE = _EVENT.alias("before_it")
_WAITING = Prepared(
    sa.select(_EVENT.c.id, _BEFORE.c.seq, *_TOLD)
    .select_from(
        _EVENT.outerjoin(
            _BEFORE,
            sa.and_(
                _EVENT.c.version > sa.literal_column("1"),
                _BEFORE.c.topic == _EVENT.c.topic,
                _BEFORE.c.subject == _EVENT.c.subject,
                _BEFORE.c.version == _EVENT.c.version - sa.literal_column("1"),
            ),
        )
    )
    .where(_EVENT.c.topic == sa.bindparam("of"), _EVENT.c.seq.is_(None))
    .order_by(_EVENT.c.id)
    .limit(sa.bindparam("most"))
)
_NUMBER = Prepared(
    sa.update(_EVENT)
    .where(among_given(_EVENT.c.id, "ids"))
    .values(seq=chosen_given(_EVENT.c.id, "numbers"), epoch=sa.bindparam("epoch"))
)
_GO_ON = Prepared(
    sa.update(_STATE)
    .where(_STATE.c.topic == sa.bindparam("of"))
    .values(next_seq=sa.bindparam("next_seq"), published=sa.bindparam("published"))
)
