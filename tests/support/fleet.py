"""The application's own processes, started for a test as an operator starts them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.http import answers_ok
from tests.support.processes import PYTHON, Child, Nursery, free_port

QUEUES = ("payments", "events", "products", "market")


@dataclass(frozen=True)
class Service:
    """A process that answers HTTP at `url`."""

    child: Child
    url: str


class Fleet:
    """Starts workers, beat, API and Flower over one environment."""

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

    def api(self, *, env: Mapping[str, str] | None = None, path: str = "/readyz") -> Service:
        """Start the API on a free port and wait until `path` answers 200."""
        port = free_port()
        command = [
            *(PYTHON, "-m", "uvicorn", "api.main:app"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--http", "api.connection:Connection"),
            *("--timeout-graceful-shutdown", "3", "--no-access-log"),
        ]
        settings = {"API_PORT": str(port), **(env or {})}
        return self._start_serving(f"api{next(self._numbers)}", command, port, settings, path)

    def flower(self, *, credentials: str, env: Mapping[str, str] | None = None) -> Service:
        """Start Flower on a free port and wait for its health check."""
        port = free_port()
        name = f"flower{next(self._numbers)}"
        command = [
            *(PYTHON, "-m", "celery", "-A", "workers.app", "flower"),
            *("--address=127.0.0.1", f"--port={port}"),
            *("--persistent=True", f"--db={self._work_dir / name}.db", "--max_tasks=10000"),
        ]
        settings = {"FLOWER_BASIC_AUTH": credentials, **(env or {})}
        return self._start_serving(name, command, port, settings, "/healthcheck")

    def run(self, name: str, arguments: Sequence[str], **env: str) -> Child:
        """Start Python with the same environment: `run("doctor", ["-m", "cli", "doctor"])`."""
        return self._nursery.start(name, [PYTHON, *arguments], env={**self.env, **env})

    def _start_beating(
        self, name: str, arguments: list[str], env: Mapping[str, str] | None, *, wait: bool
    ) -> Child:
        heartbeat = self._work_dir / f"{name}.heartbeat"
        heartbeat.unlink(missing_ok=True)
        child = self._nursery.start(
            name,
            [PYTHON, "-m", "celery", "-A", "workers.app", *arguments],
            env={**self.env, "HEARTBEAT_FILE": str(heartbeat), **(env or {})},
        )
        if wait:
            child.wait_until(heartbeat.exists)
        return child

    def _start_serving(
        self, name: str, command: list[str], port: int, settings: Mapping[str, str], path: str
    ) -> Service:
        child = self._nursery.start(name, command, env={**self.env, **settings})
        service = Service(child, f"http://127.0.0.1:{port}")
        child.wait_until(lambda: answers_ok(service.url + path))
        return service
