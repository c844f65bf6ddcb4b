from pathlib import Path

from accounts.tables import User
from infra.database.schema import missing_tables
from infra.db import Database, open_database


def test_migrated_database_lacks_nothing(each_database: Database) -> None:
    with each_database.reads() as session:
        assert missing_tables(session) == set()


def test_tables_that_no_migration_has_made_are_named(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'empty.db'}")

    with database.reads() as session:
        missing = missing_tables(session)
    database.engine.dispose()

    assert User.__tablename__ in missing
