"""Databases for tests: migrated once a run, cleaned in a few milliseconds, spoken to as MySQL."""

import fcntl
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymysql.cursors import Cursor
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.orm import sessionmaker

from infra.db import Database, open_database
from tests.support.mariadb import MariaDB, prepare_data_folder
from tests.support.processes import PYTHON, ROOT, Nursery, clean_environment

NAME = "tradepost"


def speak_as_mysql(engine: Engine) -> Engine:
    """Take from an engine what SQLAlchemy does on MariaDB and cannot do on MySQL; return it.

    Connects once: the dialect finds out at its first connection what the server can do.
    """
    with engine.connect():
        dialect = engine.dialect
    dialect.insert_returning = False
    dialect.delete_returning = False
    dialect.update_returning = False
    dialect.insert_executemany_returning = False
    dialect.insert_executemany_returning_sort_by_parameter_order = False
    return engine


def another_door(database: Database) -> Database:
    """Open a database once more, over the same pool and with the same compiled statements.

    To compile its statements took a test longer than to send them. Listeners on the new engine
    are not heard by others.
    """
    engine = database.engine.execution_options()
    return Database(
        engine=engine,
        sessions=sessionmaker(engine, expire_on_commit=False),
        reads=sessionmaker(engine.execution_options(readonly=True), expire_on_commit=False),
    )


class SqliteFiles:
    """Opens one file after the other with one engine, which keeps its compiled statements."""

    def __init__(self, first: Path) -> None:
        self._file = str(first)
        self._opened = open_database(f"sqlite:///{first}")
        event.listen(self._opened.engine, "do_connect", self._connect)
        event.listen(self._opened.engine, "connect", _leave_to_the_cache)

    @contextmanager
    def opened(self, url: str) -> Iterator[Database]:
        """Open a file while the block lasts."""
        self._file = make_url(url).database or self._file
        try:
            yield another_door(self._opened)
        finally:
            self._opened.engine.dispose()

    def _connect(
        self, _dialect: object, _record: object, _args: object, options: Any
    ) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(self._file, **options)
        return connection


def _leave_to_the_cache(connection: sqlite3.Connection, _record: object) -> None:
    # No test outlives a power cut, and a disk that is waited for at each COMMIT costs more than
    # all else.
    connection.execute("PRAGMA synchronous=OFF")


def migrate(url: str, *, revision: str = "head") -> None:
    """Bring a database to a revision, in a process of its own, as an operator does."""
    done = subprocess.run(
        [PYTHON, "-m", "alembic", "upgrade", revision],
        cwd=ROOT,
        env=clean_environment({"DATABASE_URL": url}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"migrating failed:\n{done.stdout}\n{done.stderr}"


def mariadb_template(shared_dir: Path) -> Path:
    """Find, or make once for all test workers of a run, a data folder with a migrated database."""
    template = shared_dir / "mariadb-template"
    with _made_once(template) as unmade:
        if unmade is not None:
            prepare_data_folder(unmade)
            nursery = Nursery(shared_dir / "logs")
            server = MariaDB(nursery, unmade)
            with nursery.group():
                server.start()
                migrate(server.create_database(NAME))
                server.stop()  # properly: whoever is started on a copy has nothing to recover
    return template


def sqlite_template(shared_dir: Path) -> Path:
    """Find, or make once for all test workers of this run, a migrated SQLite file."""
    template = shared_dir / "sqlite-template"
    with _made_once(template) as unmade:
        if unmade is not None:
            unmade.mkdir()
            migrate(f"sqlite:///{unmade / 'tradepost.db'}")
    return template / "tradepost.db"


class CleanDatabase:
    """A migrated database of a MariaDB server, put back to its first state for each test."""

    def __init__(self, server: MariaDB, name: str = NAME) -> None:
        self.url = server.url(name)
        self._server = server
        self._name = name
        with server.connect(name) as connection, connection.cursor() as cursor:
            self._tables = _list_tables(cursor)
            self._seeds = [_Seed(cursor, table) for table in _filled(cursor, self._tables)]

    def clean(self) -> None:
        """Undo everything since the migration, also what a killed worker still holds locked.

        Automatic ids go on counting: no two tests see the same id.
        """
        self._server.revive()
        self._server.drop_connections()
        with self._server.connect(self._name) as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            cursor.execute("BEGIN")
            for table in _filled(cursor, self._tables):
                cursor.execute(f"DELETE FROM `{table}`")  # noqa: S608 - the catalogue's own name
            for seed in self._seeds:
                seed.plant(cursor)
            cursor.execute("COMMIT")


class _Seed:
    """The rows that the migrations themselves put into a table."""

    def __init__(self, cursor: Cursor, table: str) -> None:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
            " AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position",
            (table,),
        )
        columns = [row[0] for row in cursor.fetchall()]
        names = ", ".join(f"`{column}`" for column in columns)
        cursor.execute(f"SELECT {names} FROM `{table}`")  # noqa: S608 - the catalogue's own names
        self._rows: list[tuple[Any, ...]] = list(cursor.fetchall())
        places = ", ".join(["%s"] * len(columns))
        self._insert = f"INSERT INTO `{table}` ({names}) VALUES ({places})"  # noqa: S608 - as above

    def plant(self, cursor: Cursor) -> None:
        cursor.executemany(self._insert, self._rows)


def _list_tables(cursor: Cursor) -> list[str]:
    cursor.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        " AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version'"
    )
    return [row[0] for row in cursor.fetchall()]


def _filled(cursor: Cursor, tables: Iterable[str]) -> list[str]:
    looks = [
        f"(SELECT '{table}' FROM `{table}` LIMIT 1)"  # noqa: S608 - the catalogue's own name
        for table in tables
    ]
    if not looks:
        return []
    cursor.execute(" UNION ALL ".join(looks))
    return [row[0] for row in cursor.fetchall()]


@contextmanager
def _made_once(target: Path) -> Iterator[Path | None]:
    """Yield a folder name to fill, which then becomes `target`; None when another has made it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        unmade = target.with_suffix(".unmade")
        shutil.rmtree(unmade, ignore_errors=True)
        yield unmade
        unmade.rename(target)
