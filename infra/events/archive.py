"""Numbered events read back from the database in pages, with every hole named.

A page costs the same however long the story is: its rows are found by an index, never by counting.
"""

from collections.abc import Sequence
from itertools import pairwise

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import outbox
from infra.errors import Conflict, Gone
from infra.events.cursor import Position
from infra.events.history import fits
from infra.outbox import Event, Numbered, StreamState

# More keys in one query make a server's optimizer give up on the index.
_KEYS = 1000


class EventsGone(Gone):
    """Events between two numbers are no longer kept."""

    code = "events_gone"

    def __init__(self, topic: str, *, after: int, before: Position) -> None:
        super().__init__(
            f"The events {after + 1} to {before.seq - 1} of {topic} are no longer kept. "
            f"Go on after {before.epoch}-{before.seq - 1}, and read over the API what you missed.",
            topic=topic,
            after=after,
            before=before.seq,
            go_on_after=f"{before.epoch}-{before.seq - 1}",
        )


class PositionUnknown(Conflict):
    """No event of the present story stands at this position."""

    code = "position_unknown"

    def __init__(self, topic: str, *, began: Position, head: Position) -> None:
        super().__init__(
            f"{topic} has no such event: it lies ahead, or the database was restored since. "
            f"What you know of events from {began.epoch}-{began.seq} on did not happen.",
            topic=topic,
            began="{}-{}".format(*began),
            head="{}-{}".format(*head),
        )


def list_page(
    session: Session, topic: str, *, after: Position | None, limit: int
) -> list[Numbered]:
    """List what came after an event, in order, up to the next hole; the oldest without `after`.

    Raises:
        EventsGone: what came next is no longer kept.
        PositionUnknown: there is no such event.
    """
    rows = outbox.list_after(session, topic, seq=_start(session, topic, after), limit=limit)
    for before, row in pairwise(rows):
        if row.seq != before.seq + 1:
            return rows[: rows.index(row)]
    return rows


def list_newest(session: Session, topic: str, *, limit: int) -> list[Numbered]:
    """List the newest events, in order, from the last hole on."""
    rows = session.scalars(
        sa.select(Event)
        .where(Event.topic == topic, Event.seq.is_not(None))
        .order_by(Event.seq.desc())
        .limit(limit)
    )
    newest: list[Numbered] = []
    for row in map(_numbered, rows):
        if newest and row.seq != newest[-1].seq - 1:
            break
        newest.append(row)
    return newest[::-1]


def list_page_of(
    session: Session, topic: str, subject: str, *, after: Position | None, limit: int
) -> list[Numbered]:
    """List what came after an event and is about one subject.

    Raises:
        EventsGone: what came next on the topic is no longer kept.
        PositionUnknown: there is no such event.
    """
    start = _start(session, topic, after)
    version = _first_version_after(session, topic, subject, start)
    rows = session.scalars(
        sa.select(Event)
        .where(*_about(topic, subject), Event.version >= version, Event.seq.is_not(None))
        .order_by(Event.version)
        .limit(limit)
    )
    return [_numbered(row) for row in rows]


def list_page_of_many(
    session: Session,
    topic: str,
    subjects: Sequence[str],
    *,
    after: Position | None,
    limit: int,
) -> list[Numbered]:
    """List what came after an event and is about one of some subjects with few versions each.

    Raises:
        EventsGone: what came next on the topic is no longer kept.
        PositionUnknown: there is no such event.
    """
    found = _seqs_of(session, topic, subjects, _start(session, topic, after))
    return _at(session, topic, found[:limit])


def list_newest_of_many(
    session: Session, topic: str, subjects: Sequence[str], *, limit: int
) -> list[Numbered]:
    """List the newest events about one of some subjects with few versions each, in order."""
    return _at(session, topic, _seqs_of(session, topic, subjects, 0)[-limit:])


def _start(session: Session, topic: str, after: Position | None) -> int:
    if after is None:
        oldest = outbox.list_after(session, topic, seq=0, limit=1)
        return oldest[0].seq - 1 if oldest else 0
    state = session.get_one(StreamState, topic)
    head = Position(state.epoch, state.next_seq - 1)
    if not fits(after, head, outbox.find_numbered(session, topic, seq=after.seq)):
        began = outbox.first_seq_of_epoch(session, state)
        raise PositionUnknown(topic, began=Position(state.epoch, began), head=head)
    following = outbox.list_after(session, topic, seq=after.seq, limit=1)
    row = following[0] if following else None
    found = Position(row.epoch, row.seq) if row else Position(head.epoch, head.seq + 1)
    if found.seq > after.seq + 1:
        raise EventsGone(topic, after=after.seq, before=found)
    return after.seq


def _first_version_after(session: Session, topic: str, subject: str, seq: int) -> int:
    """Halve the subject's versions until the first above a number is found.

    Versions and numbers of a subject rise together, and no index holds the numbers by subject.
    """
    lowest, highest = session.execute(
        sa.select(sa.func.min(Event.version), sa.func.max(Event.version)).where(
            *_about(topic, subject)
        )
    ).one()
    low, high = lowest or 1, (highest or 0) + 1
    while low < high:
        middle = (low + high) // 2
        found = session.execute(
            sa.select(Event.version, Event.seq)
            .where(*_about(topic, subject), Event.version >= middle)
            .order_by(Event.version)
            .limit(1)
        ).one()
        if found.seq is None or found.seq > seq:
            high = middle
        else:
            low = found.version + 1
    return low


def _seqs_of(session: Session, topic: str, subjects: Sequence[str], after: int) -> list[int]:
    found: list[int | None] = []
    for first in range(0, len(subjects), _KEYS):
        # Neither sorted nor cut by the server, which would walk the whole topic to do so.
        found += session.scalars(
            sa.select(Event.seq).where(
                Event.topic == topic,
                Event.subject.in_(subjects[first : first + _KEYS]),
                Event.seq > after,
            )
        )
    return sorted(seq for seq in found if seq is not None)


def _at(session: Session, topic: str, seqs: Sequence[int]) -> list[Numbered]:
    rows = session.scalars(
        sa.select(Event).where(Event.topic == topic, Event.seq.in_(seqs)).order_by(Event.seq)
    )
    return [_numbered(row) for row in rows]


def _about(topic: str, subject: str) -> tuple[sa.ColumnElement[bool], ...]:
    return Event.topic == topic, Event.subject == subject


def _numbered(row: Event) -> Numbered:
    return Numbered(
        row.topic,
        row.epoch or 0,
        row.seq or 0,
        row.type,
        row.subject,
        row.version,
        row.time,
        row.data,
    )
