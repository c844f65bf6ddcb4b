"""A private MariaDB server."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import TypeAlias

import pymysql
from pymysql.constants import ER

from tests.support.servers import Server

USER = "tradepost"
PASSWORD = "only-for-tests"
_ADMIN = "harness"

# MySQL 8.4's own default, so that what production would refuse is refused here too.
_SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)
_LOG_FILE_SIZE = "--innodb-log-file-size=16M"

Connection: TypeAlias = "pymysql.connections.Connection[pymysql.cursors.Cursor]"


class MariaDB(Server):
    """A MariaDB server on a free port of 127.0.0.1, with a data folder of its own."""

    name = "mariadb"

    def url(self, database: str = "tradepost") -> str:
        """Make the SQLAlchemy URL of one of its databases, for an ordinary user.

        Without TLS, for which the driver would read the certificate store at each connection.
        """
        where = f"127.0.0.1:{self.port}/{database}"
        return f"mysql+pymysql://{USER}:{PASSWORD}@{where}?ssl_disabled=true"

    def connect(self, database: str | None = None) -> Connection:
        """Open a plain autocommit connection as the server's administrator."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=_ADMIN,
            password=PASSWORD,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=30,
            ssl_disabled=True,
            read_timeout=60,
        )

    def create_database(self, name: str) -> str:
        """Make an empty database, in place of an older one of that name; return its URL."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
            cursor.execute(f"CREATE DATABASE `{name}`")
        return self.url(name)

    def drop_connections(self) -> int:
        """Kill every connection of the application; return how many there were."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (USER,))
            ids = [row[0] for row in cursor.fetchall()]
            for connection_id in ids:
                _kill_connection(cursor, connection_id)
        return len(ids)

    def refuse_writes(self) -> None:
        """Make the server read-only, as it is during a failover, until `allow_writes`."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL read_only = 1")

    def allow_writes(self) -> None:
        """Let the application write again."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL read_only = 0")

    def revive(self) -> None:
        """Bring the server back to its normal state: running and writable."""
        super().revive()
        self.allow_writes()

    def _command(self) -> list[str | Path]:
        init_file = self.data_dir / "init.sql"
        init_file.write_text(
            f"CREATE USER IF NOT EXISTS {_ADMIN}@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO {_ADMIN}@'%' WITH GRANT OPTION;\n"
            f"GRANT ALL ON `%`.* TO {USER}@'%';\n"
        )
        return [
            find_program("mariadbd"),
            "--no-defaults",
            f"--user={getpass.getuser()}",
            f"--datadir={self.data_dir}",
            f"--tmpdir={_own_tmpdir(self.data_dir)}",
            f"--init-file={init_file}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--socket=server.sock",  # in the data folder: a full path may be too long for a socket
            "--pid-file=server.pid",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--max-connections=400",
            "--back-log=400",
            "--innodb-buffer-pool-size=64M",
            _LOG_FILE_SIZE,
            "--innodb-flush-log-at-trx-commit=2",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            f"--sql-mode={_SQL_MODE}",
        ]

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True


def prepare_data_folder(target: Path) -> None:
    """Make a data folder that holds the system tables only; servers start on copies of it.

    Raises:
        AssertionError: MariaDB is not installed, or its installer failed.
    """
    target.mkdir(parents=True)
    done = subprocess.run(
        [
            find_program("mariadb-install-db"),
            "--no-defaults",
            f"--user={getpass.getuser()}",
            f"--datadir={target}",
            f"--tmpdir={_own_tmpdir(target)}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            _LOG_FILE_SIZE,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"mariadb-install-db failed:\n{done.stdout}\n{done.stderr}"


def find_program(name: str) -> Path:
    """Find one of MariaDB's programs.

    Raises:
        AssertionError: it is not installed.
    """
    # Debian keeps the server in a folder that is not on an ordinary user's PATH.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found, (
        f"{name} is not installed, and the suite runs on a private MariaDB: `make test` installs it"
        " (Debian's mariadb-server-core and mariadb-client-core)."
    )
    return Path(found)


def _own_tmpdir(data_dir: Path) -> Path:
    """Make a folder for temporary tables; a server that starts empties the one it is given."""
    folder = data_dir.with_name(f"{data_dir.name}-tmp")
    folder.mkdir(exist_ok=True)
    return folder


def _kill_connection(cursor: pymysql.cursors.Cursor, connection_id: int) -> None:
    try:
        cursor.execute(f"KILL {int(connection_id)}")
    except pymysql.err.OperationalError as error:
        if error.args[0] != ER.NO_SUCH_THREAD:  # it left by itself
            raise
