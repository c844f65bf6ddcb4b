"""Statements past SQLAlchemy: what they answer, and that they fail as its own do."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from infra import clock
from infra.database.prepared import WROTE, Prepared
from infra.database.rows import among_given, table_of
from infra.db import Database, is_duplicate
from infra.outbox import Event

_EVENT = table_of(Event)
_ADD = Prepared(
    sa.insert(_EVENT), columns=("topic", "subject", "version", "type", "time", "data", "request_id")
)
_RETYPE = Prepared(
    sa.update(_EVENT).where(_EVENT.c.id == sa.bindparam("asked")).values(type=sa.bindparam("type"))
)
_FIND = Prepared(
    sa.select(_EVENT.c.id, _EVENT.c.type, clock.Now()).where(among_given(_EVENT.c.id, "ids"))
)

_READ = Prepared(sa.select(_EVENT.c.id, _EVENT.c.time).where(among_given(_EVENT.c.id, "ids")))


def add(session: sa.orm.Session, *, version: int) -> int:
    return _ADD.run(
        session,
        topic="orders",
        subject="orders/1",
        version=version,
        type="order.placed",
        time=clock.now(session),
        data="{}",
        request_id=None,
    ).new_id


def test_what_is_written_is_counted_and_found(each_database: Database) -> None:
    with each_database.sessions.begin() as session:
        first, second = add(session, version=1), add(session, version=2)
        met = [_RETYPE.run(session, asked=id_, type="it's 100 %").count for id_ in (first, -1)]
        found = _FIND.run(session, ids=(first, second)).rows
        now = clock.now(session)

    assert met == [1, 0]
    assert sorted(row[:2] for row in found) == [(first, "it's 100 %"), (second, "order.placed")]
    assert clock.instant(found[0][2]) >= now.replace(microsecond=0)


def test_rows_are_read_by_name_with_their_instants(each_database: Database) -> None:
    with each_database.sessions.begin() as session:
        id_, now = add(session, version=1), clock.now(session)

        assert _READ.read(session, ids=(id_,)) == [{"id": id_, "time": now}]


def test_a_session_knows_that_something_was_written(each_database: Database) -> None:
    with each_database.sessions() as session:
        _FIND.run(session, ids=())
        read = WROTE in session.info
        add(session, version=1)

        assert (read, WROTE in session.info) == (False, True)


def test_a_twin_is_an_integrity_error(each_database: Database) -> None:
    with each_database.sessions() as session:
        add(session, version=1)

        with pytest.raises(IntegrityError) as raised:
            add(session, version=1)

    assert is_duplicate(raised.value)


def test_a_link_that_is_lost_is_given_up(database: Database) -> None:
    with database.sessions() as session:
        link = session.execute(sa.text("SELECT CONNECTION_ID()")).scalar_one()
        with database.sessions() as other:
            other.execute(sa.text(f"KILL {link}"))

        with pytest.raises(OperationalError) as raised:
            _FIND.run(session, ids=(1,))

    assert raised.value.connection_invalidated
    with database.sessions() as session:
        assert not _FIND.run(session, ids=(1,)).rows
