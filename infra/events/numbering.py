"""Numbers for committed events: dense within a topic, from one writer at a time.

A row gets its number only once it is visible, because auto-increment ids are not in commit order.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.database.rows import table_of
from infra.logs import log
from infra.outbox import Event, StreamState

BATCH = 500


def number(session: Session, state: StreamState, *, limit: int = BATCH) -> int:
    """Give the next numbers to committed events of a locked topic; return how many got one.

    At most `limit` rows are changed, however many wait.
    """
    ready = _list_ready(session, state.topic, limit)
    updates = []
    for lowest, highest in _runs(row.id for row in ready):
        shift = state.next_seq - lowest
        updates.append({"first": lowest, "last": highest, "shift": shift, "now": state.epoch})
        state.next_seq += highest - lowest + 1
    if updates:
        session.execute(_numbering(), updates)
    return len(ready)


def _list_ready(session: Session, topic: str, limit: int) -> list[Any]:
    """List the oldest events that may get a number now; those held back hold up nobody else."""
    after = 0
    while True:
        page = session.execute(_waiting(), {"of": topic, "after": after, "most": limit}).all()
        ready = _in_version_order(session, topic, page)
        if ready or len(page) < limit:
            return ready
        after = page[-1].id


def _in_version_order(session: Session, topic: str, page: Iterable[Any]) -> list[Any]:
    """Keep the events whose forerunner has a number, or gets one now."""
    last: dict[str, int] = {}
    ready, held = [], []
    for row in page:
        _, subject, version, forerunner = row
        follows = version == 1 or forerunner is not None or last.get(subject) == version - 1
        if follows or _is_first(session, topic, row):
            last[subject] = version
            ready.append(row)
        else:
            held.append(row)
    if held:
        log.error(
            "events_out_of_version_order",
            topic=topic,
            count=len(held),
            subject=held[0].subject,
            version=held[0].version,
        )
    return ready


def _is_first(session: Session, topic: str, row: Any) -> bool:  # noqa: ANN401 - a row of `_waiting`
    """Tell whether no earlier version is there: all have been pruned."""
    earlier = sa.exists().where(
        Event.topic == topic, Event.subject == row.subject, Event.version < row.version
    )
    return not session.scalar(sa.select(earlier))


@cache
def _waiting() -> sa.Select[Any]:
    """Each event without a number beside the number of the version before it, by unique key."""
    event = table_of(Event)
    before = event.alias("before_it")
    is_before = sa.and_(
        event.c.version > 1,
        before.c.topic == event.c.topic,
        before.c.subject == event.c.subject,
        before.c.version == event.c.version - 1,
    )
    return (
        sa.select(
            event.c.id,
            event.c.subject,
            event.c.version,
            before.c.seq.label("forerunner"),
        )
        .select_from(event.outerjoin(before, is_before))
        .where(
            event.c.topic == sa.bindparam("of"),
            event.c.seq.is_(None),
            event.c.id > sa.bindparam("after"),
        )
        .order_by(event.c.id)
        .limit(sa.bindparam("most"))
    )


@cache
def _numbering() -> sa.Update:
    event = table_of(Event)
    return (
        sa.update(event)
        .where(event.c.id.between(sa.bindparam("first"), sa.bindparam("last")))
        .values(seq=event.c.id + sa.bindparam("shift"), epoch=sa.bindparam("now"))
    )


def _runs(ids: Iterable[int]) -> list[tuple[int, int]]:
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
