"""Private servers for benchmarks, set as a careful operator would set them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.db import Database, open_database
from tests.support.databases import NAME, migrate, speak_as_mysql
from tests.support.mariadb import MariaDB, prepare_data_folder
from tests.support.processes import PYTHON, Child, Nursery
from tests.support.valkey import Valkey

PROCESSES = 2


class DurableMariaDB(MariaDB):
    """A server that syncs its log at every commit and has memory for the tables."""

    def _command(self) -> list[str | Path]:
        return [
            *super()._command(),
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=512M",
            "--innodb-log-file-size=256M",
        ]


@dataclass(frozen=True)
class Peers:
    """A migrated database, a broker, and the means to start processes over them."""

    nursery: Nursery
    mariadb: MariaDB
    env: dict[str, str]
    work_dir: Path

    @contextmanager
    def worker(self, command: Sequence[str], ready: str, name: str) -> Iterator[Child]:
        """Run somebody's worker while the block lasts; it says `ready` in its log when it is."""
        with self.nursery.group():
            child = self.nursery.start(name, [PYTHON, "-m", *command], env=self.env)
            child.wait_until(lambda: ready in child.log())
            yield child


@contextmanager
def opened(peers: Peers) -> Iterator[Database]:
    """Open the database from here, in the dialect of production."""
    database = open_database(peers.env["DATABASE_URL"])
    speak_as_mysql(database.engine)
    yield database
    database.engine.dispose()


@contextmanager
def peers(work_dir: Path) -> Iterator[Peers]:
    """Start the servers, and stop everything in the end."""
    nursery = Nursery(work_dir / "logs")
    try:
        data_dir = work_dir / "mariadb"
        prepare_data_folder(data_dir)
        mariadb = DurableMariaDB(nursery, data_dir)
        mariadb.start()
        (work_dir / "valkey").mkdir()
        valkey = Valkey(nursery, work_dir / "valkey")
        valkey.start()
        url = mariadb.create_database(NAME)
        migrate(url)
        redis = dict.fromkeys(("BROKER_URL", "CACHE_URL", "STREAMS_URL"), valkey.url())
        env = {"DATABASE_URL": url, **redis, "ENV_FILE": ""}
        yield Peers(nursery, mariadb, env, work_dir)
    finally:
        nursery.end_all()
