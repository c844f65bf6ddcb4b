"""The database's clock: read once per transaction, and nobody else's."""

from datetime import UTC, datetime

import sqlalchemy as sa

from infra import clock
from infra.db import Database
from tests.support.processes import eventually


def test_clock_stands_still_within_a_transaction(each_database: Database) -> None:
    with each_database.sessions.begin() as session:
        first = clock.now(session)
        session.execute(sa.text("SELECT COUNT(*) FROM event")).all()

        assert clock.now(session) is first


def test_clock_goes_on_between_transactions(each_database: Database) -> None:
    with each_database.sessions() as session:
        first = clock.now(session)
        session.commit()

        def later() -> bool:
            session.rollback()
            return clock.now(session) > first

        eventually(later)


def test_clock_is_aware_and_fine_enough_for_leases(each_database: Database) -> None:
    with each_database.reads() as session:
        now = clock.now(session)

    assert now.tzinfo is UTC


def test_clock_is_the_servers_whatever_this_machine_says(database: Database) -> None:
    with database.sessions() as session:
        session.execute(sa.text("SET timestamp = 1000000000.25"))

        now = clock.now(session)

        session.execute(sa.text("SET timestamp = DEFAULT"))
    assert now == datetime(2001, 9, 9, 1, 46, 40, 250000, tzinfo=UTC)
