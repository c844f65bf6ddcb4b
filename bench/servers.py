"""Private servers for benchmarks, set as a careful operator would set them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.databases import NAME, migrate
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
    env: dict[str, str]
    work_dir: Path

    @contextmanager
    def worker(self, application: str, queue: str, name: str) -> Iterator[Child]:
        """Run a Celery worker of two processes while the block lasts."""
        log_level, started = "--loglevel=INFO", "ready."
        command = [
            *(PYTHON, "-m", "celery", "-A", application, "worker", "-Q", queue),
            *("-n", f"{name}@%h", "-c", str(PROCESSES), log_level),
            *("--without-mingle", "--without-gossip"),
        ]
        with self.nursery.group():
            child = self.nursery.start(name, command, env=self.env)
            child.wait_until(lambda: started in child.log())
            yield child


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
        env = {"DATABASE_URL": url, "BROKER_URL": valkey.url(), "ENV_FILE": ""}
        yield Peers(nursery, env, work_dir)
    finally:
        nursery.stop_all()
