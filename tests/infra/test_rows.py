"""Values on their way to the server and back: our own escaping, and rows without SQLAlchemy."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from infra.db import Database
from infra.outbox import Event
from infra.rows import insert_rows, table_of

EVENT = table_of(Event)
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
AWKWARD = ["it's", "\\", "\\'", '"', "a\nb\r\tc", "100 % %s %(a)s :b ?", "\x1a", "Ünïcode 🛒", ""]


def row(subject: str, **values: object) -> dict[str, object]:
    return {
        "topic": "orders",
        "subject": subject,
        "version": 1,
        "type": "order.placed",
        "time": NOON,
        "data": "{}",
        **values,
    }


def test_every_text_comes_back_as_it_was_written(each_database: Database) -> None:
    rows = [row(f"orders/{n}", data=text) for n, text in enumerate(AWKWARD)]

    with each_database.sessions.begin() as session:
        insert_rows(session, EVENT, rows)

    with each_database.reads() as session:
        read = session.scalars(sa.select(EVENT.c.data).order_by(EVENT.c.id)).all()
    assert read == AWKWARD


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_text_ends_its_own_quotes(database: Database, text: str) -> None:
    with database.reads() as session:
        assert session.scalar(sa.select(sa.literal(text))) == text


def test_text_is_safe_on_a_server_that_takes_no_backslash(database: Database) -> None:
    with database.reads() as session:
        session.execute(sa.text("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'"))

        assert session.scalar(sa.select(sa.literal("it's a \\"))) == "it's a \\"

        session.connection().invalidate()


def test_instants_of_any_zone_are_stored_as_utc(each_database: Database) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

    with each_database.sessions.begin() as session:
        insert_rows(session, EVENT, [row("orders/1"), row("orders/2", time=elsewhere)])

    with each_database.reads() as session:
        assert set(session.scalars(sa.select(Event.time))) == {NOON}


def test_a_row_that_is_there_already_is_refused_as_by_sqlalchemy(each_database: Database) -> None:
    with (
        pytest.raises(IntegrityError),
        each_database.sessions.begin() as session,
    ):
        insert_rows(session, EVENT, [row("orders/1"), row("orders/1")])


def test_no_rows_are_no_statement(database: Database) -> None:
    with database.sessions.begin() as session:
        insert_rows(session, EVENT, [])

    with database.reads() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(EVENT)) == 0
