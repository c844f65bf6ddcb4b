"""The database's clock: the only one that leases and expiry are judged by."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler

from infra.db import connection_of

_KEY = "clock.now"
_ON_MYSQL = "UTC_TIMESTAMP(6)"
_ON_SQLITE = "strftime('%Y-%m-%d %H:%M:%f', 'now')"


class Now(sa.sql.functions.FunctionElement[Any]):
    """The clock as a column: a statement that is sent anyway brings it along for `learn`."""

    inherit_cache = True


def now(session: Session) -> datetime:
    """Read the database's clock once per transaction: microseconds on MySQL, else milliseconds."""
    known = _known(session)
    if known is not None:
        return known
    return learn(session, _ask(connection_of(session)))


def read(connection: Connection) -> datetime:
    """Read the database's clock over a connection that has no session."""
    return instant(_ask(connection))


def learn(session: Session, told: str | datetime) -> datetime:
    """Take the clock from a statement that brought `Now` along, and keep it for `now`.

    What this transaction has read before stays.
    """
    known = _known(session)
    if known is not None:
        return known
    learned = instant(told)
    session.info[_KEY] = (session.get_transaction(), learned)
    return learned


def instant(told: str | datetime) -> datetime:
    """Make an instant of what the driver gives for `Now`."""
    read = datetime.fromisoformat(told) if isinstance(told, str) else told
    return read.replace(tzinfo=UTC)


def _ask(connection: Connection) -> str | datetime:
    clock = _ON_SQLITE if connection.dialect.name == "sqlite" else _ON_MYSQL
    told: str | datetime = connection.exec_driver_sql(f"SELECT {clock}").scalar_one()
    return told


def _known(session: Session) -> datetime | None:
    transaction, learned = session.info.get(_KEY, (None, None))
    return learned if transaction is session.get_transaction() else None


@compiles(Now)
def _write_on_mysql(_element: Now, _compiler: SQLCompiler, **_options: Any) -> str:  # noqa: ANN401 - the compiler's own
    return _ON_MYSQL


@compiles(Now, "sqlite")
def _write_on_sqlite(_element: Now, _compiler: SQLCompiler, **_options: Any) -> str:  # noqa: ANN401 - the compiler's own
    return _ON_SQLITE
