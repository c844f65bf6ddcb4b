"""Whether the database has the tables that this process was written for."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Base


def missing_tables(session: Session) -> set[str]:
    """Name the tables that a migration has yet to make, of those whose modules are imported."""
    present = sa.inspect(session.connection()).get_table_names()
    return set(Base.metadata.tables) - set(present)
