"""Statements that are compiled once, and sent from then on as they are.

SQLAlchemy puts a statement together, finds it among those it has compiled and prepares its values,
each time anew: together longer than driver and server take for a row by its key. What every request
sends is compiled once instead, and goes to the driver with nothing but its values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

from infra.db import connection_of

# Where a session keeps that something was written past the ORM, which knows of its own writes only.
WROTE = "wrote"

Bind = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A statement as one kind of server takes it; each value by name, with what makes it fit."""

    text: str
    binds: tuple[tuple[str, Bind | None], ...]


class Prepared:
    """One statement, whose values are `sa.bindparam` by name, or the `columns` of an INSERT.

    Values are written as their columns' types say. What a query finds is what the driver gives:
    numbers and texts as they are, the clock for `clock.learn` to read.
    """

    def __init__(self, statement: sa.Executable, *, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = None if columns is None else list(columns)
        self._writes = isinstance(statement, UpdateBase)
        self._plans: WeakKeyDictionary[Dialect, _Plan] = WeakKeyDictionary()

    def run(self, session: Session, **values: Any) -> sa.CursorResult[Any]:  # noqa: ANN401 - of the columns' types
        """Send the statement with these values, within the session's transaction."""
        connection = connection_of(session)
        plan = self._plans.get(connection.dialect) or self._compile(connection.dialect)
        sent = tuple(
            values[name] if bind is None else bind(values[name]) for name, bind in plan.binds
        )
        if self._writes:
            session.info[WROTE] = True
        return connection.exec_driver_sql(plan.text, sent)

    def _compile(self, dialect: Dialect) -> _Plan:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)  # type: ignore[attr-defined] # every statement can be compiled
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - it is SQL
        assert compiled.positiontup is not None  # noqa: S101 - `open_database` takes care of it
        binds = {
            name: compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            for name in compiled.positiontup
        }
        plan = _Plan(str(compiled), tuple((name, binds[name]) for name in compiled.positiontup))
        self._plans[dialect] = plan
        return plan
