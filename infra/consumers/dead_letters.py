"""Events that a consumer group could not handle, and those that wait behind them.

They stand in the consumer's database, each with its whole event: neither a flushed Redis nor a
pruned history takes them away. Whoever reads the group's topics handles what is to be replayed.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from infra import clock
from infra.consumers import inbox
from infra.consumers.inbox import DeadLetter, HandledByAnother
from infra.errors import NotFound
from infra.events.entries import Entry, from_cloud_event

MOST_LISTED = 1000
_ERROR_LENGTH = 500


class DeadLetterNotFound(NotFound):
    """There is no such dead letter."""

    code = "dead_letter_not_found"

    def __init__(self, group: str, topic: str, seq: int) -> None:
        super().__init__(f"{group} has no dead letter {seq} of {topic}.")


def park(
    session: Session, group: str, entry: Entry, *, behind: bool, tries: int = 0, error: str = ""
) -> None:
    """Put an event aside; everything about its subject waits behind it.

    Raises:
        HandledByAnother: it is put aside or handled already; roll back, there is nothing to do.
    """
    place = inbox.find_place(session, group, entry.topic)
    if place is not None and inbox.is_done(session, place, entry):
        raise HandledByAnother
    session.add(
        DeadLetter(
            consumer_group=group,
            topic=entry.topic,
            seq=entry.place.seq,
            epoch=entry.place.epoch,
            subject=entry.subject,
            version=entry.version,
            behind=behind,
            tries=tries,
            error=error[:_ERROR_LENGTH],
            cloud_event=entry.cloud_event.decode(),
            parked_at=clock.now(session),
        )
    )
    inbox.flush(session)


def list_of(session: Session, group: str | None = None) -> Sequence[DeadLetter]:
    """List dead letters and what waits behind them, oldest first."""
    query = sa.select(DeadLetter).order_by(
        DeadLetter.consumer_group, DeadLetter.topic, DeadLetter.seq
    )
    if group is not None:
        query = query.where(DeadLetter.consumer_group == group)
    return session.scalars(query.limit(MOST_LISTED)).all()


def replay(session: Session, group: str, topic: str, seq: int) -> None:
    """Let the group's consumers try an event again, and then what waits behind it.

    Raises:
        DeadLetterNotFound: there is no such dead letter.
    """
    get(session, group, topic, seq).replay_at = clock.now(session)


def drop(session: Session, group: str, topic: str, seq: int) -> None:
    """Give an event up for good: it counts as handled, and what waits behind it goes on.

    Raises:
        DeadLetterNotFound: there is no such dead letter.
    """
    letter = get(session, group, topic, seq)
    inbox.pass_over(session, group, from_cloud_event(letter.cloud_event.encode()))
    session.delete(letter)


def get(session: Session, group: str, topic: str, seq: int) -> DeadLetter:
    """Read one.

    Raises:
        DeadLetterNotFound: there is no such dead letter.
    """
    found = session.get(DeadLetter, (group, topic, seq))
    if found is None:
        raise DeadLetterNotFound(group, topic, seq)
    return found


def list_due(session: Session, group: str, topics: Sequence[str]) -> list[Entry]:
    """List what is to be handled now: what is replayed, and what no longer waits behind anything.

    Of each subject the lowest version only: the next one is due when that has been handled.
    """
    before = aliased(DeadLetter)
    waits = (
        sa.exists()
        .where(
            before.consumer_group == DeadLetter.consumer_group,
            before.topic == DeadLetter.topic,
            before.subject == DeadLetter.subject,
            before.version < DeadLetter.version,
        )
        .correlate(DeadLetter)
    )
    rows = session.scalars(
        sa.select(DeadLetter)
        .where(
            DeadLetter.consumer_group == group,
            DeadLetter.topic.in_(topics),
            sa.or_(DeadLetter.replay_at.is_not(None), DeadLetter.behind),
            ~waits,
        )
        .order_by(DeadLetter.topic, DeadLetter.seq)
        .limit(MOST_LISTED)
    )
    return [from_cloud_event(row.cloud_event.encode()) for row in rows]


def failed_again(session: Session, group: str, entry: Entry, *, error: str) -> None:
    """Note that a replay has failed: it waits for a person again."""
    letter = get(session, group, entry.topic, entry.place.seq)
    letter.replay_at, letter.behind = None, False
    letter.tries += 1
    letter.error = error[:_ERROR_LENGTH]
