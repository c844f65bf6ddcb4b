"""One way to open the database and one way to run a transaction, on MySQL and on SQLite."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection, Dialect, Engine, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

from infra.database.mysql import open_mysql
from infra.database.sqlite import open_sqlite
from infra.errors import AppError, TimedOut, Transient

T = TypeVar("T")
Sessions = sessionmaker[Session]
# One row by column name, as a query gives it or as we are about to insert it.
Row = sa.RowMapping | Mapping[str, Any]

TRIES = 3
LOCK_WAIT_TIMEOUT_S = 10
PATIENCE_S = 28
# A link that took longer to break than this is not tried again: nobody waits for ever.
_QUICK_S = 5.0
_DEADLOCK, _LOCK_WAIT, _RECORD_CHANGED = 1213, 1205, 1020
_LOCK_WAITS = "lock_waits"
_CONNECTION = "connection"
_RETRIABLE = frozenset({_DEADLOCK, _LOCK_WAIT, _RECORD_CHANGED})
# Not reached, gone, lost in a query; stopping; connection killed by somebody (MariaDB).
_LINK_LOST = frozenset({2003, 2006, 2013, 1053, 1927})
# Too many connections of all or of ours; the server is read-only for now.
_UNAVAILABLE = frozenset({1040, 1203, 1226, 1290, 1836})
# The time for a statement was over: MySQL's number, MariaDB's.
_OUT_OF_TIME = frozenset({3024, 1969})
_SQLITE_CANTOPEN = 14
# What a read raises, which no `transact` translates, when the server is at fault.
SERVER_ERRORS = (OperationalError, InterfaceError, PoolTimeout)

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LongText = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def binary_string(length: int) -> sa.types.TypeEngine[str]:
    """Make a string type that tells "A" from "a" on MySQL too, for identifiers from outside."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant, stored as a plain DATETIME with microseconds."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Keep microseconds on MySQL, which drops them unless asked."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Store UTC; a naive instant is a caller's bug."""
        if value is None:
            return None
        # Most are UTC already, and asking costs less than turning them.
        aware = value if value.tzinfo is UTC else value.astimezone(UTC)
        return aware.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Give back an aware instant."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The one set of tables; names of keys and checks are the same on every server."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


@event.listens_for(sa.Table, "before_parent_attach")
def _use_utf8mb4(table: sa.Table, _metadata: sa.MetaData) -> None:
    # A server's default may be anything; names and headlines hold every character.
    table.dialect_kwargs["mysql_charset"] = "utf8mb4"


class CommitUnknown(Transient):
    """The link broke at COMMIT: the work may or may not stand. Read it again by a unique key."""

    code = "commit_unknown"

    def __init__(self) -> None:
        super().__init__("The database went away while the work was being committed.")


class DatabaseDown(Transient):
    """The database cannot be reached."""

    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__("The database cannot be reached. Try again soon.", retry_after_s=2)


class DatabaseSlow(TimedOut):
    """A statement took longer than its caller can wait."""

    code = "database_slow"

    def __init__(self) -> None:
        super().__init__("The database took too long. Ask for less, or try again later.")


class DatabaseBusy(Transient):
    """A lock was not to be had in time, in several tries."""

    code = "in_flight"

    def __init__(self) -> None:
        super().__init__("Another request is working on the same thing. Try again soon.")


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How many connections a process may open, and how many it is using."""

    size: int
    in_use: int


@dataclass(frozen=True)
class Database:
    """An open database: `sessions` write, `reads` never take a write lock."""

    engine: Engine
    sessions: Sessions
    reads: Sessions

    def pool_use(self) -> PoolUse:
        """Tell how much of the pool is in use."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101 - `open_database` makes no other
        return PoolUse(pool.size(), pool.checkedout())


def open_database(
    url: str,
    *,
    pool_size: int = 5,
    lock_wait_timeout_s: int = LOCK_WAIT_TIMEOUT_S,
    patience_s: int = PATIENCE_S,
    lock_waits: int = TRIES,
) -> Database:
    """Open a pool on a MySQL-protocol server or an SQLite file; nothing is sent until first use.

    No statement goes on for longer than `patience_s`, and no transaction waits for a lock in vain
    more than `lock_waits` times, each for `lock_wait_timeout_s` (on MySQL).
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = open_sqlite(url)
    else:
        engine = open_mysql(
            url,
            pool_size=pool_size,
            lock_wait_timeout_s=lock_wait_timeout_s,
            patience_s=patience_s,
        )
    engine = engine.execution_options(**{_LOCK_WAITS: lock_waits})
    reading = engine.execution_options(readonly=True)
    return Database(
        engine=engine,
        sessions=sessionmaker(engine, expire_on_commit=False),
        reads=sessionmaker(reading, expire_on_commit=False),
    )


def transact(sessions: Sessions, work: Callable[[Session], T]) -> T:
    """Run `work` in one transaction and commit it; run it again on a deadlock or a lost link.

    `work` may run up to three times, so it must have no effect outside the session.

    Raises:
        CommitUnknown: the link broke at COMMIT; nobody knows whether the work stands.
        DatabaseBusy: locks were not to be had, in three tries or as many as the database was
            opened for.
        DatabaseDown: the server cannot be reached.
        DatabaseSlow: a statement took longer than the database's patience.
    """
    began = time.monotonic()
    for attempt in range(1, TRIES + 1):
        with sessions() as session:
            try:
                result = work(session)
                session.flush()
            except OperationalError as error:
                session.rollback()
                slow = _link_lost(error) and time.monotonic() - began > _QUICK_S
                if slow or attempt >= _tries(session, error):
                    raise _translate(error) from error
                continue
            try:
                session.commit()
            except OperationalError as error:
                if _code(error) in _RETRIABLE and attempt < TRIES:
                    session.rollback()
                    continue
                raise (CommitUnknown() if _link_lost(error) else _translate(error)) from error
            return result
    raise DatabaseBusy  # pragma: no cover - the loop always returns or raises


def connection_of(session: Session) -> Connection:
    """Give the connection of the session's transaction, which is begun if need be.

    What `Session.connection` gives, but asked for once in a transaction: it takes as long as an
    INSERT of one row does.
    """
    transaction, known = session.info.get(_CONNECTION, (None, None))
    if transaction is not None and transaction is session.get_transaction():
        return known  # type: ignore[no-any-return] # session.info is untyped
    connection = session.connection()
    session.info[_CONNECTION] = (session.get_transaction(), connection)
    return connection


@contextmanager
def reading(reads: Sessions) -> Iterator[Connection]:
    """Read over a connection alone, for what is asked so often that a session is worth sparing."""
    with reads.kw["bind"].connect() as connection:
        yield connection


def ping(engine: Engine) -> None:
    """Ask the server for a sign of life.

    Raises:
        DatabaseDown: there was none.
    """
    try:
        with engine.execution_options(readonly=True).connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except OperationalError as error:
        raise DatabaseDown from error


def as_app_error(error: Exception) -> AppError | None:
    """Tell one of `SERVER_ERRORS` in our own words; None if it is a fault of ours after all."""
    if isinstance(error, OperationalError):
        translated = _translate(error)
        return translated if isinstance(translated, AppError) else None
    return DatabaseDown() if isinstance(error, SERVER_ERRORS) else None


def is_duplicate(error: sa.exc.IntegrityError) -> bool:
    """Tell a second row under a unique key from other violations (MySQL 1062, SQLite UNIQUE)."""
    return _code(error) == 1062 or getattr(error.orig, "sqlite_errorcode", 0) in (1555, 2067)  # noqa: PLR2004 - the servers' own numbers


def _code(error: DBAPIError) -> int:
    args = getattr(error.orig, "args", ())
    return args[0] if args and isinstance(args[0], int) else 0


def _link_lost(error: OperationalError) -> bool:
    return error.connection_invalidated or _code(error) in _LINK_LOST


def _tries(session: Session, error: OperationalError) -> int:
    """Tell how often work may be begun that ends in this way."""
    if _code(error) == _LOCK_WAIT:
        options = session.get_bind().get_execution_options()
        return int(options.get(_LOCK_WAITS, TRIES))
    return TRIES if _code(error) in _RETRIABLE or _link_lost(error) else 1


def _translate(error: OperationalError) -> AppError | OperationalError:
    busy = _code(error) in _RETRIABLE or getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (5, 6)
    if busy:
        return DatabaseBusy()
    if _code(error) in _OUT_OF_TIME:
        return DatabaseSlow()
    cannot_open = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == _SQLITE_CANTOPEN
    if _link_lost(error) or cannot_open or _code(error) in _UNAVAILABLE:
        return DatabaseDown()
    return error
