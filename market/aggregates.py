"""The rows that count versions: found and locked, or made, so that their writers are serial."""

from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import is_duplicate
from market.models import Company, ForexTable, Instrument

T = TypeVar("T", Instrument, Company, ForexTable)


def lock(session: Session, kind: type[T], key: str) -> T:
    """Take the row lock of an aggregate until commit; a row that is missing is made."""
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
