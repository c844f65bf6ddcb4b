"""Where consumers that are started from the command line keep what they have handled."""

from infra.consumers import inbox
from infra.db import Database, open_database
from infra.settings import Settings

FILE = "consumers.db"


def open_own(settings: Settings) -> Database:
    """Open Tradepost's own database or, beside SQLite, a file of the consumers' own.

    A row stands in a transaction as long as the command for its event takes, and who writes to
    SQLite has it alone: no order could be placed meanwhile.
    """
    if not settings.database.startswith("sqlite"):
        return open_database(settings.database)
    database = open_database(f"sqlite:///{settings.data_dir / FILE}")
    inbox.create_tables(database.engine)
    return database
