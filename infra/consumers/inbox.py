"""What a consumer group has handled: rows in the consumer's own database, written with the effect.

Works on any SQLAlchemy session. An effect and the row that says so commit together, so that an
event delivered twice has its effect once; the version of the subject tells whether it is its turn.
`create_tables` makes the tables in a database that is not Tradepost's.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum, auto

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock
from infra.db import Base, LongText, UtcDateTime, binary_string, is_duplicate
from infra.errors import Conflict
from infra.events.cursor import Position
from infra.events.entries import Entry

GROUP_LENGTH = 60
KEPT = timedelta(days=7)
_WINDOW = 1000


class Handled(Base):
    """One event that a group has handled, or passed over for good."""

    __tablename__ = "consumer_inbox"
    __table_args__ = (sa.Index(None, "consumer_group", "topic", "subject", "version"),)

    consumer_group: Mapped[str] = mapped_column(binary_string(GROUP_LENGTH), primary_key=True)
    topic: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    seq: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(sa.Integer)
    subject: Mapped[str] = mapped_column(binary_string(100))
    version: Mapped[int] = mapped_column(sa.BigInteger)
    handled_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Place(Base):
    """How far a group is on a topic: everything up to `seq` is handled.

    `seq_epoch` is the epoch of that event. The present `epoch` began with the number `began`; rows
    up to `floor` may have been pruned.
    """

    __tablename__ = "consumer_place"

    consumer_group: Mapped[str] = mapped_column(binary_string(GROUP_LENGTH), primary_key=True)
    topic: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    epoch: Mapped[int] = mapped_column(sa.Integer)
    began: Mapped[int] = mapped_column(sa.BigInteger)
    floor: Mapped[int] = mapped_column(sa.BigInteger)
    seq: Mapped[int] = mapped_column(sa.BigInteger)
    seq_epoch: Mapped[int] = mapped_column(sa.Integer)

    @property
    def position(self) -> Position:
        """The last event of which it is certain that it and all before it are handled."""
        return Position(self.seq_epoch, self.seq)


class DeadLetter(Base):
    """An event that could not be handled, or one `behind` it that is about the same subject."""

    __tablename__ = "consumer_dead_letter"
    __table_args__ = (sa.Index(None, "consumer_group", "topic", "subject", "version"),)

    consumer_group: Mapped[str] = mapped_column(binary_string(GROUP_LENGTH), primary_key=True)
    topic: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    seq: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(sa.Integer)
    subject: Mapped[str] = mapped_column(binary_string(100))
    version: Mapped[int] = mapped_column(sa.BigInteger)
    behind: Mapped[bool] = mapped_column(sa.Boolean)
    tries: Mapped[int] = mapped_column(sa.Integer)
    error: Mapped[str] = mapped_column(sa.String(500))
    cloud_event: Mapped[str] = mapped_column(LongText)
    parked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    replay_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


TABLES: tuple[type[Base], ...] = (Handled, Place, DeadLetter)


class Verdict(Enum):
    """What is to be done with an event."""

    NEW = auto()  # its row is written: have the effect, in the same transaction
    DONE = auto()  # it had its effect, or its story was undone by a restore
    EARLY = auto()  # a version of its subject before it is missing
    BEHIND = auto()  # its subject waits behind a dead letter
    RESTORED = auto()  # it is of a later epoch than the group knows of: `open_epoch` first


class HandledByAnother(Conflict):
    """Another consumer of the group has just written the same row."""

    code = "handled_by_another"

    def __init__(self) -> None:
        super().__init__("Another consumer of the group has just done this.")


def create_tables(engine: Engine) -> None:
    """Make the tables where they are missing; Tradepost's own database has them by migration."""
    tables = [Base.metadata.tables[table.__tablename__] for table in TABLES]
    # Looking takes no lock: on SQLite a consumer may hold that of writers for long.
    with engine.execution_options(readonly=True).connect() as connection:
        known = sa.inspect(connection).get_table_names()
    if not {table.name for table in tables} <= set(known):
        Base.metadata.create_all(engine, tables=tables)


def admit(
    session: Session, group: str, entry: Entry, *, first: bool = False, replay: bool = False
) -> Verdict:
    """Decide about an event, and write its row if its effect is to follow in this transaction.

    `first` says that the one before it is known not to be there; `replay` that it was parked.

    Raises:
        HandledByAnother: roll back; there is nothing to do.
    """
    place = get_place(session, group, entry.topic)
    if entry.place.epoch > place.epoch:
        return Verdict.RESTORED
    if is_done(session, place, entry, replay=replay):
        return Verdict.DONE
    if not replay and _is_parked(session, group, entry):
        return Verdict.BEHIND
    last = find_last(session, group, entry)
    if last is not None and entry.version <= last.version:
        return Verdict.DONE
    expected = 1 if last is None else last.version + 1
    if entry.version != expected and not (first or replay):
        return Verdict.EARLY
    pass_over(session, group, entry)
    return Verdict.NEW


def is_done(session: Session, place: Place, entry: Entry, *, replay: bool = False) -> bool:
    """Tell whether an event had its effect, or its story was undone by a restore.

    Below the floor of the group's place all have had it, but for those that were parked.
    """
    undone = entry.place.epoch < place.epoch and entry.place.seq >= place.began
    pruned = entry.place.seq <= place.floor and not replay
    key = (place.consumer_group, entry.topic, entry.place.seq)
    return undone or pruned or session.get(Handled, key, populate_existing=True) is not None


def pass_over(session: Session, group: str, entry: Entry) -> None:
    """Write that an event is handled.

    Raises:
        HandledByAnother: it was already.
    """
    session.add(
        Handled(
            consumer_group=group,
            topic=entry.topic,
            seq=entry.place.seq,
            epoch=entry.place.epoch,
            subject=entry.subject,
            version=entry.version,
            handled_at=clock.now(session),
        )
    )
    flush(session)


def find_place(session: Session, group: str, topic: str) -> Place | None:
    """Find how far a group is; None before it has begun."""
    return session.get(Place, (group, topic), populate_existing=True)


def get_place(session: Session, group: str, topic: str) -> Place:
    """Read how far a group is."""
    return session.get_one(Place, (group, topic), populate_existing=True)


def begin(session: Session, group: str, topic: str, *, after: Position, began: Position) -> None:
    """Let a group begin right after an event, unless it has begun.

    Raises:
        HandledByAnother: a peer has let it begin in this moment.
    """
    if find_place(session, group, topic) is not None:
        return
    session.add(
        Place(
            consumer_group=group,
            topic=topic,
            epoch=began.epoch,
            began=began.seq,
            floor=after.seq,
            seq=after.seq,
            seq_epoch=after.epoch,
        )
    )
    flush(session)


def advance(session: Session, group: str, topic: str) -> tuple[Place, set[int]]:
    """Move a group's place over what is handled without a hole; return it and what lies beyond."""
    place = session.get_one(Place, (group, topic), populate_existing=True, with_for_update=True)
    known = _known_above(session, place)
    while place.seq + 1 in known:
        place.seq += 1
        place.seq_epoch = known.pop(place.seq)
    return place, set(known)


def skip_gap(session: Session, group: str, topic: str, *, before: Position) -> None:
    """Go on at an event although those before it are missing: nobody has them any more."""
    place = get_place(session, group, topic)
    place.seq = place.floor = max(place.seq, before.seq - 1)
    place.seq_epoch = before.epoch


def open_epoch(session: Session, group: str, topic: str, *, began: Position) -> bool:
    """Forget what was handled of a story that a restore has undone; False if that is done."""
    place = session.get_one(Place, (group, topic), populate_existing=True, with_for_update=True)
    if place.epoch >= began.epoch:
        return False
    for table in (Handled, DeadLetter):
        session.execute(
            sa.delete(table).where(
                table.consumer_group == group,
                table.topic == topic,
                table.seq >= began.seq,
                table.epoch < began.epoch,
            )
        )
    if place.seq >= began.seq:
        place.seq, place.seq_epoch = began.seq - 1, place.epoch
    place.floor = min(place.floor, place.seq)
    place.epoch, place.began = began
    return True


def prune(session: Session, group: str, topic: str) -> None:
    """Delete rows that are old, and of which nobody asks any more."""
    place = get_place(session, group, topic)
    before = clock.now(session) - KEPT
    highest = session.scalar(
        sa.select(sa.func.max(Handled.seq)).where(
            Handled.consumer_group == group,
            Handled.topic == topic,
            Handled.seq.between(place.floor + 1, min(place.seq, place.floor + _WINDOW)),
            Handled.handled_at < before,
        )
    )
    if highest is None:
        return
    session.execute(
        sa.delete(Handled).where(
            Handled.consumer_group == group, Handled.topic == topic, Handled.seq <= highest
        )
    )
    place.floor = highest


def find_last(session: Session, group: str, entry: Entry) -> Handled | None:
    """Find the newest version of an event's subject that the group has handled."""
    return session.scalars(
        sa.select(Handled)
        .where(*_about(Handled, group, entry))
        .order_by(Handled.version.desc())
        .limit(1)
    ).one_or_none()


def flush(session: Session) -> None:
    """Write what a transaction has added.

    Raises:
        HandledByAnother: a row of it is there already.
    """
    try:
        session.flush()
    except sa.exc.IntegrityError as error:
        if is_duplicate(error):
            raise HandledByAnother from error
        raise


def _is_parked(session: Session, group: str, entry: Entry) -> bool:
    query = sa.select(DeadLetter.seq).where(*_about(DeadLetter, group, entry)).limit(1)
    return session.scalar(query) is not None


def _known_above(session: Session, place: Place) -> dict[int, int]:
    """Map the next numbers that are handled or parked to their epochs."""
    known: dict[int, int] = {}
    for table in (Handled, DeadLetter):
        rows: Iterable[sa.Row[tuple[int, int]]] = session.execute(
            sa.select(table.seq, table.epoch)
            .where(
                table.consumer_group == place.consumer_group,
                table.topic == place.topic,
                table.seq.between(place.seq + 1, place.seq + _WINDOW),
            )
            .order_by(table.seq)
        )
        known.update((row.seq, row.epoch) for row in rows)
    return known


def _about(
    table: type[Handled] | type[DeadLetter], group: str, entry: Entry
) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.consumer_group == group,
        table.topic == entry.topic,
        table.subject == entry.subject,
    )
