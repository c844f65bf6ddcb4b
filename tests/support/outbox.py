"""Event rows for tests of the outbox, the relay and the readers of streams."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import outbox
from infra.db import Database, transact
from infra.events import numbering
from infra.outbox import Change, Event, StreamState


def change(
    subject: str,
    version: int = 1,
    *,
    topic: str = "orders",
    type: str = "order.placed",  # noqa: A002 - as the event calls it
    **data: Any,
) -> Change:
    """Make a change of one aggregate."""
    return Change(topic, type, subject, version, {"version": version, **data})


def record(database: Database, *changes: Change) -> None:
    """Write event rows in a transaction of their own."""
    transact(database.sessions, lambda session: outbox.record(session, changes))


def record_many(database: Database, count: int, *, topic: str = "orders", first: int = 1) -> None:
    """Write first versions of that many aggregates."""
    numbers = range(first, first + count)
    record(database, *(change(f"things/{number}", topic=topic) for number in numbers))


def number(database: Database, topic: str = "orders", *, limit: int = numbering.BATCH) -> int:
    """Give numbers to what waits on a topic, without a relay."""

    def work(session: Session) -> int:
        state = outbox.lock_state(session, topic)
        return numbering.number(session, state, limit=limit)

    return transact(database.sessions, work)


def numbers(database: Database, topic: str = "orders") -> dict[str, int | None]:
    """Tell the number of each event, by `<subject> v<version>`."""
    with database.reads() as session:
        events = session.scalars(sa.select(Event).where(Event.topic == topic).order_by(Event.id))
        return {f"{event.subject} v{event.version}": event.seq for event in events}


def restore_older(database: Database, topic: str, *, last_seq: int) -> None:
    """Put a topic back to where a backup would have it: nothing after `last_seq` ever was."""

    def work(session: Session) -> None:
        session.execute(
            sa.delete(Event).where(
                Event.topic == topic, sa.or_(Event.seq > last_seq, Event.seq.is_(None))
            )
        )
        session.execute(
            sa.update(StreamState)
            .where(StreamState.topic == topic)
            .values(next_seq=last_seq + 1, epoch=1)
        )

    transact(database.sessions, work)


def prune(database: Database, topic: str, *, up_to: int) -> None:
    """Delete old event rows, as retention does."""
    transact(
        database.sessions,
        lambda session: session.execute(
            sa.delete(Event).where(Event.topic == topic, Event.seq <= up_to)
        ),
    )


def lose_tail(client: Any, topic: str, *, keep: int) -> None:
    """Make a stream forget all but its first entries, as a crash loses the last writes."""
    key = f"events:{topic}"
    kept = client.xrange(key, count=keep)
    client.delete(key)
    for entry_id, fields in kept:
        client.xadd(key, fields, id=entry_id)
