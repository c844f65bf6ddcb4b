"""Pages of past events: nothing left out in silence, and each found by an index."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Database
from infra.events import archive
from infra.events.cursor import Position
from infra.outbox import Numbered
from tests.support.outbox import change, number, prune, record

LONG, LIMIT = 3000, 10
Read = Callable[[Session, Position], list[Numbered]]


def of_topic(session: Session, after: Position) -> list[Numbered]:
    return archive.list_page(session, "orders", after=after, limit=LIMIT)


def of_subject(session: Session, after: Position) -> list[Numbered]:
    return archive.list_page_of(session, "orders", "things/busy", after=after, limit=LIMIT)


def of_own(session: Session, after: Position) -> list[Numbered]:
    own = [f"things/{n}" for n in range(0, 2 * LIMIT, 2)]
    return archive.list_page_of_many(session, "orders", own, after=after, limit=LIMIT)


def rows_read(database: Database, read: Read, after: Position) -> int:
    """Count the rows that the server looks at for one page."""
    status = sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'")
    with database.reads() as session:
        before = sum(int(row[1]) for row in session.execute(status))
        page = read(session, after)
        assert page
        return sum(int(row[1]) for row in session.execute(status)) - before


@pytest.mark.parametrize("read", [of_topic, of_subject, of_own])
def test_page_costs_the_same_wherever_it_begins(database: Database, read: Read) -> None:
    busy = [change("things/busy", version) for version in range(1, LONG // 2 + 1)]
    others = [change(f"things/{n}") for n in range(LONG // 2 - 2 * LIMIT)]
    last = [change(f"things/{n}", 2) for n in range(2 * LIMIT)]
    record(database, *(one for pair in zip(busy, others + last, strict=True) for one in pair))
    while number(database):
        pass

    costs = [rows_read(database, read, Position(1, seq)) for seq in (1, LONG - 4 * LIMIT)]

    assert max(costs) < LONG / 10


def test_page_ends_before_a_hole_and_the_next_names_it(database: Database) -> None:
    record(database, *(change(f"things/{n}") for n in range(9)))
    number(database)
    with database.sessions.begin() as session:
        session.execute(sa.text("DELETE FROM event WHERE topic = 'orders' AND seq IN (4, 5)"))

    with database.reads() as session:
        page = of_topic(session, Position(1, 1))
        with pytest.raises(archive.EventsGone) as gone:
            of_topic(session, Position(1, page[-1].seq))

    assert [event.seq for event in page] == [2, 3]
    assert gone.value.extra["go_on_after"] == "1-5"


def test_everything_pruned_is_a_gap_up_to_what_comes_next(database: Database) -> None:
    record(database, *(change(f"things/{n}") for n in range(3)))
    number(database)
    prune(database, "orders", up_to=3)

    with database.reads() as session, pytest.raises(archive.EventsGone) as gone:
        of_topic(session, Position(1, 1))

    assert gone.value.extra["before"] == 4
