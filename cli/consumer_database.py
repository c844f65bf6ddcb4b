"""Where consumers that are started from the command line keep what they have handled."""

from urllib.parse import quote

from infra.consumers import inbox
from infra.db import Database, open_database
from infra.settings import Settings

FOLDER = "consumers"


def open_own(settings: Settings, group: str) -> Database:
    """Open Tradepost's own database or, beside SQLite, a file of the group's own.

    A row stands in a transaction as long as the command for its event takes, and who writes to
    SQLite has it alone: no order could be placed meanwhile, and no other group would go on.
    """
    if not settings.database.startswith("sqlite"):
        return open_database(settings.database)
    # In a URL, a % would be taken for what it stands for.
    name = quote(group, safe="").replace("%", "=")
    file = settings.data_dir / FOLDER / f"{name}.db"
    database = open_database(f"sqlite:///{file}")
    inbox.create_tables(database.engine)
    return database


def open_all(settings: Settings) -> list[Database]:
    """Open what holds all that groups have handled, beside SQLite a file for each."""
    if not settings.database.startswith("sqlite"):
        return [open_database(settings.database)]
    files = sorted((settings.data_dir / FOLDER).glob("*.db"))
    return [open_database(f"sqlite:///{file}") for file in files]
