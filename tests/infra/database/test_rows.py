"""Values on their way to the server and back: our own escaping, and rows without SQLAlchemy."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from infra.database.mysql import Ids
from infra.database.rows import among, chosen, insert_rows, table_of
from infra.db import Database
from infra.outbox import Event

EVENT = table_of(Event)
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
AWKWARD = ["it's", "\\", "\\'", '"', "a\nb\r\tc", "100 % %s %(a)s :b ?", "\x1a", "Ünïcode 🛒", ""]
# The length of a value takes one byte, three, or four on its way back.
LONG = ["x" * 250, "x" * 251, "ü" * 40_000]


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
    texts = [*AWKWARD, *LONG]
    rows = [row(f"orders/{n}", data=text) for n, text in enumerate(texts)]

    with each_database.sessions.begin() as session:
        insert_rows(session, EVENT, rows)

    with each_database.reads() as session:
        read = session.scalars(sa.select(EVENT.c.data).order_by(EVENT.c.id)).all()
    assert read == texts


def test_rows_too_long_for_one_statement_take_several(database: Database) -> None:
    texts = [f"{n}".ljust(400_000) for n in range(3)]

    with database.sessions.begin() as session:
        insert_rows(session, EVENT, [row(text[:1], data=text) for text in texts])

    with database.reads() as session:
        assert session.scalars(sa.select(EVENT.c.data).order_by(EVENT.c.id)).all() == texts


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


def test_rows_are_found_by_a_list_of_ids(each_database: Database) -> None:
    with each_database.sessions.begin() as session:
        insert_rows(session, EVENT, [row(f"orders/{n}", version=n) for n in range(4)])

        found = session.scalars(sa.select(EVENT.c.version).where(among(EVENT.c.version, [1, 3, 9])))

        assert sorted(found) == [1, 3]


def test_an_empty_list_of_ids_finds_nothing(each_database: Database) -> None:
    with each_database.sessions.begin() as session:
        insert_rows(session, EVENT, [row("orders/1")])

        found = session.scalars(sa.select(EVENT.c.id).where(among(EVENT.c.version, []))).all()

        assert found == []


def test_each_row_gets_the_text_chosen_by_its_id(each_database: Database) -> None:
    texts = dict(enumerate(AWKWARD, start=1))
    with each_database.sessions.begin() as session:
        insert_rows(session, EVENT, [row(f"orders/{n}", version=n) for n in texts])

        session.execute(
            sa.update(EVENT)
            .where(among(EVENT.c.version, texts))
            .values(data=chosen(EVENT.c.version, texts))
        )

        read = session.execute(sa.select(EVENT.c.version, EVENT.c.data))
        assert {row.version: row.data for row in read} == texts


def test_a_list_of_ids_is_looked_up_in_the_index(database: Database) -> None:
    statement = sa.select(EVENT.c.data).where(among(EVENT.c.id, range(1, 300)))
    with database.sessions.begin() as session:
        insert_rows(session, EVENT, [row(f"orders/{n}") for n in range(2000)])
        text = statement.compile(session.get_bind(), compile_kwargs={"render_postcompile": True})

        plan = session.connection().exec_driver_sql(f"EXPLAIN {text}", (Ids(range(1, 300)),))

        assert plan.mappings().one()["key"] == "PRIMARY"


def test_a_column_that_no_row_names_gets_its_default(each_database: Database) -> None:
    table = sa.Table(
        "parcel",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("note", sa.String(20), default=lambda: "made"),
        sa.Column("weight", sa.Integer, default=7),
        prefixes=["TEMPORARY"],
    )
    with each_database.sessions() as session:
        table.create(session.connection())

        insert_rows(session, table, [{"id": 1}, {"id": 2}])

        assert session.execute(sa.select(table)).all() == [(1, "made", 7), (2, "made", 7)]
