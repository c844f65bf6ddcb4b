"""Statements that are compiled once, and sent from then on as they are.

SQLAlchemy puts a statement together, finds it among those it has compiled and prepares its values,
each time anew: together longer than driver and server take for a row by its key. What every request
sends is compiled once instead, and goes to the driver with nothing but its values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

from infra.db import connection_of

# Where a session keeps that something was written past the ORM, which knows of its own writes only.
WROTE = "wrote"

Bind = Callable[[Any], Any]
Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a statement: its rows as the driver read them, how many it met, the new id."""

    rows: Sequence[tuple[Any, ...]]
    count: int
    new_id: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """A statement as one kind of server takes it; each value by name, with what makes it fit.

    `names` are the columns of what a query finds, `reads` makes of some of them what their types
    say.
    """

    dialect: Dialect
    text: str
    binds: tuple[tuple[str, Bind | None], ...]
    # What the compiler has put in of its own, such as the OFFSET that SQLite wants with a LIMIT.
    fixed: Mapping[str, Any]
    names: tuple[str, ...]
    reads: tuple[tuple[str, Read], ...]


class Prepared:
    """One statement, whose values are `sa.bindparam` by name, or the `columns` of an INSERT.

    Values are written as their columns' types say. What a query finds is what the driver gives:
    numbers and texts as they are, the clock for `clock.learn` to read. `read` gives instants too.
    """

    def __init__(self, statement: sa.Executable, *, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = None if columns is None else list(columns)
        self._writes = isinstance(statement, UpdateBase)
        # As it was sent last: a process speaks to one kind of server.
        self._plan: _Plan | None = None

    def run(self, session: Session, **values: Any) -> Answer:  # noqa: ANN401 - of the columns' types
        """Send the statement with these values, within the session's transaction."""
        if self._writes:
            session.info[WROTE] = True
        return self.run_on(connection_of(session), **values)

    def run_on(self, connection: Connection, **values: Any) -> Answer:  # noqa: ANN401 - as above
        """Send the statement with these values over a connection."""
        plan = self._plan_for(connection)
        values = {**plan.fixed, **values} if plan.fixed else values
        sent = [values[name] if bind is None else bind(values[name]) for name, bind in plan.binds]
        return send(connection, plan.text, tuple(sent))

    def read(self, session: Session, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as above
        """Send a query with these values; return rows by column name, as their types say."""
        rows = self.run(session, **values).rows
        plan = self._plan_for(connection_of(session))
        found = [dict(zip(plan.names, row, strict=True)) for row in rows]
        for name, read in plan.reads:
            for row in found:
                row[name] = read(row[name])
        return found

    def _plan_for(self, connection: Connection) -> _Plan:
        plan = self._plan
        if plan is None or plan.dialect is not connection.dialect:
            plan = self._plan = self._compile(connection.dialect)
        return plan

    def _compile(self, dialect: Dialect) -> _Plan:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)  # type: ignore[attr-defined] # every statement can be compiled
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - it is SQL
        assert compiled.positiontup is not None  # noqa: S101 - `open_database` takes care of it
        given = [(name, compiled.binds[name]) for name in compiled.positiontup]
        binds = tuple(
            (name, bind.type.dialect_impl(dialect).bind_processor(dialect)) for name, bind in given
        )
        fixed = {name: bind.value for name, bind in given if not bind.required}
        found = getattr(self._statement, "selected_columns", ())
        reads = [
            (column.key, read)
            for column in found
            if (read := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]
        names = tuple(column.key for column in found)
        return _Plan(dialect, str(compiled), binds, fixed, names, tuple(reads))


def send(connection: Connection, text: str, values: tuple[Any, ...]) -> Answer:
    """Send a statement by the driver itself; whoever listens to SQLAlchemy hears of it by that.

    Raises:
        DBAPIError: as SQLAlchemy raises it.
    """
    if connection.dispatch.before_cursor_execute:
        result = connection.exec_driver_sql(text, values)
        found = [tuple(row) for row in result] if result.returns_rows else ()
        return Answer(found, result.rowcount, result.lastrowid)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text, values)
        rows = cursor.fetchall() if cursor.description else ()
        return Answer(rows, cursor.rowcount, cursor.lastrowid)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _told(connection, cursor, error, text, values) from error


def _told(
    connection: Connection,
    cursor: Any,  # noqa: ANN401 - the driver's
    error: Exception,
    text: str,
    values: tuple[Any, ...],
) -> BaseException:
    """Tell an error of the driver as SQLAlchemy does, and give up a link that is lost."""
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection, cursor)  # type: ignore[arg-type] # it is the driver's error
    told = DBAPIError.instance(
        text,
        values,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=connection.engine.hide_parameters,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
    if is_lost:
        connection.invalidate(error)
    return told
