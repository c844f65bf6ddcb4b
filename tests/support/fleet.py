"""The application's own processes, started for a test as an operator starts them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.forks import forks_of
from tests.support.http import answers_ok
from tests.support.processes import PYTHON, Child, Nursery, free_port

QUEUES = ("payments", "events", "products", "market")
# What takes long to import and is not ours, so that no line of ours has run before the start.
_LIBRARIES = (
    "celery.apps.beat", "celery.apps.worker", "celery.bin.celery", "celery.concurrency.prefork",
    "celery.worker.consumer", "celery.worker.worker", "fastapi", "fastapi_offline", "httpx", "jwt",
    "flower.command", "kombu.transport.redis", "limits.storage", "opentelemetry.trace", "orjson",
    "prometheus_client", "pwdlib.hashers.argon2", "pydantic_settings", "redis.asyncio",
    "sqlalchemy.dialects.mysql.pymysql", "sqlalchemy.dialects.sqlite.pysqlite", "sqlalchemy.orm",
    "sse_starlette", "structlog", "tenacity", "uvicorn.main",
    "uvicorn.protocols.http.httptools_impl",
)  # fmt: skip
_API = (*_LIBRARIES, "api.main", "api.connection")


@dataclass(frozen=True)
class Service:
    """A process that answers HTTP at `url`."""

    child: Child
    url: str


class Fleet:
    """Starts workers, beat, API and Flower over one environment.

    Each is a process of its own, started with an operator's words. Imports have been made for it:
    those of workers and beat as far as they are not ours, those of the API wholly.
    """

    def __init__(self, nursery: Nursery, env: Mapping[str, str], work_dir: Path) -> None:
        self.env = dict(env)
        self._nursery = nursery
        self._work_dir = work_dir
        self._numbers = itertools.count(1)

    def worker(
        self,
        queues: Sequence[str] = QUEUES,
        *,
        concurrency: int = 2,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> Child:
        """Start a Celery worker on some queues and wait for its heartbeat."""
        number = next(self._numbers)
        name = f"worker{number}-{'-'.join(queues)}"
        arguments = [
            *("-Q", ",".join(queues)),
            *("-n", f"{name}@%h"),
            *("-c", str(concurrency)),
            *("-E", "--without-mingle", "--without-gossip"),
        ]
        return self._start_beating(name, ["worker", *arguments], env, wait=wait)

    def beat(self, *, env: Mapping[str, str] | None = None, wait: bool = True) -> Child:
        """Start beat, with a schedule file of its own, and wait for its heartbeat."""
        name = f"beat{next(self._numbers)}"
        schedule = self._work_dir / f"{name}-schedule"
        return self._start_beating(name, ["beat", "--schedule", str(schedule)], env, wait=wait)

    def api(
        self,
        *,
        env: Mapping[str, str] | None = None,
        path: str = "/readyz",
        grace_s: str = "3",
        port: int | None = None,
        wait: bool = True,
    ) -> Service:
        """Start the API, on a free port unless one is named, and wait until `path` answers 200.

        What is open at its stop is cut off after `grace_s`.
        """
        port = port or free_port()
        words = [
            *("uvicorn", "api.main:app"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--http", "api.connection:Connection"),
            *("--timeout-graceful-shutdown", grace_s, "--no-access-log"),
        ]
        told = {**self.env, "API_PORT": str(port), **(env or {})}
        child = self._fork(f"api{next(self._numbers)}", words, told, _imports_for_api(told))
        return _served(child, port, path) if wait else Service(child, _url(port))

    def flower(self, *, credentials: str, env: Mapping[str, str] | None = None) -> Service:
        """Start Flower on a free port and wait for its health check."""
        port = free_port()
        name = f"flower{next(self._numbers)}"
        command = [
            *(PYTHON, "-m", "celery", "-A", "workers.app", "flower"),
            *("--address=127.0.0.1", f"--port={port}"),
            *("--persistent=True", f"--db={self._work_dir / name}.db", "--max_tasks=10000"),
        ]
        told = {**self.env, "FLOWER_BASIC_AUTH": credentials, **(env or {})}
        return _served(self._nursery.start(name, command, env=told), port, "/healthcheck")

    def run(self, name: str, arguments: Sequence[str], **env: str) -> Child:
        """Start Python with the same environment: `run("doctor", ["-m", "cli", "doctor"])`."""
        return self._nursery.start(name, [PYTHON, *arguments], env={**self.env, **env})

    def _start_beating(
        self, name: str, arguments: list[str], env: Mapping[str, str] | None, *, wait: bool
    ) -> Child:
        heartbeat = self._work_dir / f"{name}.heartbeat"
        heartbeat.unlink(missing_ok=True)
        told = {**self.env, "HEARTBEAT_FILE": str(heartbeat), **(env or {})}
        words = ["celery", "-A", "workers.app", *arguments]
        child = self._fork(name, words, told, _LIBRARIES)
        if wait:
            child.wait_until(heartbeat.exists)
        return child

    def _fork(
        self, name: str, words: list[str], env: Mapping[str, str], imports: Sequence[str]
    ) -> Child:
        forks = forks_of(*imports)
        return self._nursery.start_by(
            lambda log: forks.start(*words, env=env, out=log, err=log), name
        )


def _imports_for_api(env: Mapping[str, str]) -> Sequence[str]:
    """Leave out what reads from the environment while it is imported."""
    if env.get("PROMETHEUS_MULTIPROC_DIR"):
        return ()
    return _LIBRARIES if env.get("FAILPOINTS") else _API


def _served(child: Child, port: int, path: str) -> Service:
    service = Service(child, _url(port))
    child.wait_until(lambda: answers_ok(service.url + path))
    return service


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
