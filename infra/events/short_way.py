"""The short way onto the streams: the few new events of all topics, in one transaction.

A topic in any way out of the ordinary is left as it is, for the relay to look at closely.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, failpoints
from infra.database.prepared import Prepared
from infra.database.rows import among_given, chosen_given, table_of
from infra.db import Sessions, transact
from infra.outbox import Event, Numbered, StreamState
from infra.streams import Streams, Tip

T = TypeVar("T")

# Above so many it pays to read the events while the next ones get their numbers.
FEW = 100
# What another relay has numbered and not sent yet comes within so long, or it was killed.
_UNSENT_PAUSES_S = (0.001, 0.002, 0.004, 0.008, 0.016)
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

    def is_ahead_of(self, tip: Tip) -> bool:
        """Tell whether the stream is level, or short of what another relay may be sending now."""
        if tip.is_foreign or tip.missing or tip.is_unused:
            return False
        return tip.epoch == self.epoch and self.published <= tip.seq < self.next_seq


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


@dataclass(frozen=True, slots=True)
class Batch:
    """New events of one topic with their numbers; `row_ids` are theirs.

    `seen` is how far the stream had come when it was looked at.
    """

    topic: str
    seen: int
    row_ids: Sequence[int]
    events: Sequence[Numbered]

    @property
    def after(self) -> str:
        """The id that they are added behind."""
        first = self.events[0]
        return f"{first.epoch}-{first.seq - 1}"

    @property
    def ends(self) -> Standing:
        """Where the topic stands with them."""
        last = self.events[-1]
        return Standing(self.topic, last.epoch, last.seq + 1, published=self.seen)


@dataclass(frozen=True, slots=True)
class Given:
    """Events that have got their numbers, and whether they are all that was new."""

    batches: Sequence[Batch] = ()
    is_all: bool = False


def send(sessions: Sessions, streams: Streams, topics: Sequence[str]) -> Sent:
    """Give numbers to what is new of these topics, and put it on their streams.

    Left out are topics that have many events or one out of turn, and whose stream is not where it
    should be. Whatever becomes of the adding, an entry is only put right behind the one before it,
    and the stream's last id tells where to go on.

    Raises:
        RedisDown: nobody knows what was added.
    """
    found = transact(sessions, lambda session: _find(session, streams, topics))
    added = add(streams, found.batches)
    left = [topic for topic in found.waiting if topic not in added and topic not in found.locked]
    return Sent(added, found.locked, left, found.seen)


def add(streams: Streams, batches: Sequence[Batch]) -> dict[str, int]:
    """Put numbered events on their streams; return how many of each topic were added.

    What stands before them may be on its way: another relay has given it numbers and not sent it
    yet. That is waited for, for some milliseconds.

    Raises:
        RedisDown: nobody knows what was added.
    """
    if batches:
        failpoints.reach("events.numbered")
    added: dict[str, int] = {}
    for batch in batches:
        for pause_s in (*_UNSENT_PAUSES_S, None):
            if streams.append(batch.topic, after=batch.after, events=batch.events):
                added[batch.topic] = len(batch.events)
            elif pause_s is not None:
                time.sleep(pause_s)
                continue
            break
    if added:
        failpoints.reach("events.published")
    return added


def number(session: Session, tips: Mapping[str, Tip]) -> Given:
    """Give numbers to what is new of these topics, what this transaction has written among it.

    `tips` say where their streams stood a moment ago. Left out is what `send` leaves out, and what
    another relay is at.
    """
    taken = _lock(session, sorted(tips))
    given = _number(session, taken, tips)
    return Given(given.batches, given.is_all and len(taken) == len(tips))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look has shown, and the batches that have got their numbers by it."""

    seen: Mapping[str, Standing]
    waiting: Sequence[str] = ()
    locked: Sequence[str] = ()
    batches: Sequence[Batch] = ()


def _find(session: Session, streams: Streams, topics: Sequence[str]) -> _Found:
    """Lock the topics that have something new, look at their streams, and number it."""
    seen = look(session)
    waiting = [topic for topic in topics if topic in seen and seen[topic].waits]
    if not waiting:
        return _Found(seen)
    taken = _lock(session, waiting)
    free = [standing.topic for standing in taken]
    batches = _number(session, taken, streams.tips(free)).batches if free else ()
    locked = [topic for topic in waiting if topic not in free]
    return _Found(seen | {batch.topic: batch.ends for batch in batches}, waiting, locked, batches)


def _lock(session: Session, topics: Sequence[str]) -> Sequence[Standing]:
    rows = _locking(len(topics)).run(session, **_numbered_names("topic", topics)).rows
    return [Standing(*row) for row in rows]


def _number(session: Session, taken: Sequence[Standing], tips: Mapping[str, Tip]) -> Given:
    """Give numbers to what is new of locked topics whose streams are where they should be."""
    sound = _sound(session, taken, tips)
    if not sound:
        return Given()
    names = _numbered_names("topic", [standing.topic for standing in sound])
    rows = _waiting(len(sound)).run(session, **names, most=FEW + 1).rows
    whole = rows if len(rows) <= FEW else [row for row in rows if row[0] != rows[-1][0]]
    batches = []
    for standing in sound:
        mine = [row[1:] for row in whole if row[0] == standing.topic]
        if mine and _is_in_turn(mine):
            batches.append(_batch(standing, tips[standing.topic].seq, mine))
    if batches:
        _write(session, batches)
    count = sum(len(batch.events) for batch in batches)
    return Given(batches, is_all=len(sound) == len(taken) and count == len(rows))


def _sound(
    session: Session, taken: Sequence[Standing], tips: Mapping[str, Tip]
) -> Sequence[Standing]:
    """Choose topics whose stream ends with an event of their numbers, as the database has it.

    A restored database would otherwise hand out numbers that subscribers have seen on others.
    """
    likely = [it for it in taken if it.is_ahead_of(tips[it.topic])]
    if not likely:
        return []
    names = _numbered_names("topic", [it.topic for it in likely])
    seqs = _numbered_names("seq", [tips[it.topic].seq for it in likely])
    newest = {row[0]: row[1:] for row in _newest(len(likely)).run(session, **names, **seqs).rows}
    return [
        it
        for it in likely
        if it.topic not in newest
        or (tip := tips[it.topic]).shows(_numbered(it, tip.seq, newest[it.topic]))
    ]


def _batch(standing: Standing, seen: int, rows: Sequence[Sequence[Any]]) -> Batch:
    events = [
        _numbered(standing, seq, row[2:]) for seq, row in enumerate(rows, start=standing.next_seq)
    ]
    return Batch(standing.topic, seen, [row[0] for row in rows], events)


def _is_in_turn(rows: Iterable[Sequence[Any]]) -> bool:
    """Tell whether each event's forerunner has a number, or gets one now."""
    last: dict[str, int] = {}
    for _, forerunner, _, subject, version, *_ in rows:
        if not (version == 1 or forerunner is not None or last.get(subject) == version - 1):
            return False
        last[subject] = version
    return True


def _write(session: Session, batches: Sequence[Batch]) -> None:
    by_epoch: dict[int, dict[int, int]] = {}
    for batch in batches:
        numbers = (event.seq for event in batch.events)
        given = by_epoch.setdefault(batch.events[0].epoch, {})
        given.update(zip(batch.row_ids, numbers, strict=True))
    _going_on(len(batches)).run(
        session,
        **_numbered_names("topic", [batch.topic for batch in batches]),
        **_numbered_names("next", [batch.ends.next_seq for batch in batches]),
        **_numbered_names("seen", [batch.seen for batch in batches]),
    )
    for epoch, given in by_epoch.items():
        _NUMBER.run(session, ids=tuple(given), numbers=given, epoch=epoch)


def _numbered(standing: Standing, seq: int, told: Sequence[Any]) -> Numbered:
    kind, subject, version, at, data = told
    at = clock.instant(at)
    return Numbered(standing.topic, standing.epoch, seq, kind, subject, version, at, data)


def _numbered_names(name: str, values: Iterable[T]) -> dict[str, T]:
    """Name values as the statements for several topics do."""
    return {f"{name}_{n}": value for n, value in enumerate(values)}


def _named(name: str, count: int) -> list[sa.BindParameter[Any]]:
    return [sa.bindparam(f"{name}_{n}") for n in range(count)]


@cache
def _locking(count: int) -> Prepared:
    """Lock topics in one order for all: two relays must not wait for each other in a circle."""
    state = sa.select(*(_STATE.c[name] for name in ("topic", "epoch", "next_seq", "published")))
    named = _STATE.c.topic.in_(_named("topic", count))
    return Prepared(state.where(named).order_by(_STATE.c.topic).with_for_update(skip_locked=True))


@cache
def _newest(count: int) -> Prepared:
    """Read the event that each topic's stream ends with."""
    each = zip(_named("topic", count), _named("seq", count), strict=True)
    return Prepared(
        sa.select(_EVENT.c.topic, *_TOLD).where(
            sa.or_(*(sa.and_(_EVENT.c.topic == topic, _EVENT.c.seq == seq) for topic, seq in each))
        )
    )


@cache
def _waiting(count: int) -> Prepared:
    """Read what has no number yet, each beside the number of the version before it."""
    before = _EVENT.alias("before_it")
    is_before = sa.and_(
        _EVENT.c.version > sa.literal_column("1"),
        before.c.topic == _EVENT.c.topic,
        before.c.subject == _EVENT.c.subject,
        before.c.version == _EVENT.c.version - sa.literal_column("1"),
    )
    return Prepared(
        sa.select(_EVENT.c.topic, _EVENT.c.id, before.c.seq, *_TOLD)
        .select_from(_EVENT.outerjoin(before, is_before))
        .where(_EVENT.c.topic.in_(_named("topic", count)), _EVENT.c.seq.is_(None))
        .order_by(_EVENT.c.topic, _EVENT.c.id)
        .limit(sa.bindparam("most"))
    )


@cache
def _going_on(count: int) -> Prepared:
    """Write where topics stand."""
    of, numbers, seen = (_named(name, count) for name in ("topic", "next", "seen"))
    return Prepared(
        sa.update(_STATE)
        .where(_STATE.c.topic.in_(of))
        .values(
            next_seq=sa.case(*zip((_STATE.c.topic == it for it in of), numbers, strict=True)),
            published=sa.case(*zip((_STATE.c.topic == it for it in of), seen, strict=True)),
        )
    )


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
_NUMBER = Prepared(
    sa.update(_EVENT)
    .where(among_given(_EVENT.c.id, "ids"))
    .values(seq=chosen_given(_EVENT.c.id, "numbers"), epoch=sa.bindparam("epoch"))
)
