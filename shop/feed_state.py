"""What is remembered of a feed, so that an unchanged one is not read again."""

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra.database.rows import table_of
from infra.db import Base, binary_string

_LONGEST_ETAG, _LONGEST_DATE = 300, 100


class FeedState(Base):
    """The validators of the last answer that was taken over whole; `edits` counts our own."""

    __tablename__ = "feed_state"

    feed: Mapped[str] = mapped_column(binary_string(64), primary_key=True)
    etag: Mapped[str | None] = mapped_column(sa.String(_LONGEST_ETAG))
    last_modified: Mapped[str | None] = mapped_column(sa.String(_LONGEST_DATE))
    edits: Mapped[int] = mapped_column(sa.BigInteger)


# Two that begin at once must not fail each other.
_BEGIN = (
    sa.insert(table_of(FeedState))
    .prefix_with("IGNORE", dialect="mysql")
    .prefix_with("IGNORE", dialect="mariadb")
    .prefix_with("OR IGNORE", dialect="sqlite")
)


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said of the version it sent."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a feed, and how many edits of ours there had been by then.

    One that `is_new` has never been read from this address.
    """

    feed: str
    validators: Validators
    edits: int
    is_new: bool = False


def recall(session: Session, *, url: str, currency: str) -> Known:
    """Read what is known of a feed, under its row lock; the first time, begin to know it."""
    feed = _name(url, currency)
    state, began = session.get(FeedState, feed, with_for_update=True), 0
    if state is None:
        began = session.execute(_BEGIN, {"feed": feed, "edits": 0}).rowcount  # type: ignore[attr-defined] # an INSERT has one
        state = session.get_one(FeedState, feed, with_for_update=True)
    return Known(feed, Validators(state.etag, state.last_modified), state.edits, began == 1)


def is_new(session: Session, *, url: str, currency: str) -> bool:
    """Tell whether a feed has never been read from this address."""
    return session.get(FeedState, _name(url, currency)) is None


def remember(session: Session, known: Known, answered: Validators) -> None:
    """Remember an answer that was taken over whole, unless a product was edited meanwhile."""
    session.execute(
        sa.update(FeedState)
        .where(FeedState.feed == known.feed, FeedState.edits == known.edits)
        .values(
            etag=_sendable(answered.etag, _LONGEST_ETAG),
            last_modified=_sendable(answered.last_modified, _LONGEST_DATE),
        )
        .execution_options(synchronize_session=False)
    )


def forget(session: Session) -> None:
    """Note that a synced product is no longer as the feed says: the next sync reads it whole."""
    session.execute(
        sa.update(FeedState)
        .values(etag=None, last_modified=None, edits=FeedState.edits + 1)
        .execution_options(synchronize_session=False)
    )


def _name(url: str, currency: str) -> str:
    # The address may hold a key, and another currency makes other prices of the same answer.
    return hashlib.sha256(f"{currency} {url}".encode()).hexdigest()


def _sendable(value: str | None, most: int) -> str | None:
    """Keep what can be sent back as a header; without it the feed is read whole."""
    usable = value is not None and len(value) <= most and value.isascii() and value.isprintable()
    return value if usable else None
