"""Rows that several writers may make at the same moment: one makes it, and the others find it."""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Sessions, is_duplicate, transact
from market.bars import QuoteRoll
from market.models import Company, ForexTable, Instrument

T = TypeVar("T", Instrument, Company, ForexTable, QuoteRoll)
R = TypeVar("R")


def lock(session: Session, kind: type[T], key: str) -> T:
    """Take the row lock of an aggregate until commit; a row that is missing is made.

    So the writers of one aggregate are serial, and its versions are dense.
    """
    found = session.get(kind, key, with_for_update=True)
    if found is not None:
        return found
    try:
        with session.begin_nested():
            made = kind(**{kind.__mapper__.primary_key[0].name: key, "version": 0})
            session.add(made)
    except sa.exc.IntegrityError as error:
        if not is_duplicate(error):
            raise
        return session.get_one(kind, key, with_for_update=True, populate_existing=True)
    return made


def write(sessions: Sessions, work: Callable[[Session], R]) -> R:
    """Run a transaction; once more, if somebody else has written the same new row meanwhile.

    The second time it finds the row. `work` must be safe to repeat.
    """
    try:
        return transact(sessions, work)
    except sa.exc.IntegrityError as error:
        if not is_duplicate(error):
            raise
        return transact(sessions, work)
