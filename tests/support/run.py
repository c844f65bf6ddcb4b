"""The whole application, started as `make run` starts it, and looked at from outside."""

import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis

from infra.db import Database, open_database
from tests.support.http import plain_client
from tests.support.processes import PYTHON, Child, Nursery, eventually, free_port, is_listening
from tests.support.sandbox import Charge, Ledger, Refund

FLOWER_LOGIN = ("admin", "flower-password-of-this-test")
READY_WITHIN_S = 120.0


@dataclass(frozen=True)
class Footprint:
    """What a run occupies: processes and ports."""

    pids: frozenset[int]
    ports: frozenset[int]

    def left(self) -> tuple[set[int], set[int]]:
        """Tell which of it is still there."""
        return (
            {pid for pid in self.pids if _lives(pid)},
            {port for port in self.ports if is_listening(port)},
        )


class WholeRun:
    """One data folder, and the runs on it, one after the other."""

    def __init__(self, nursery: Nursery, folder: Path, **env: str) -> None:
        self._nursery = nursery
        self.folder = folder
        self._env = {
            "DATA_DIR": str(folder),
            "API_PORT": str(free_port()),
            "FLOWER_PORT": str(free_port()),
            "FLOWER_BASIC_AUTH": ":".join(FLOWER_LOGIN),
            **env,
        }
        self.child = self.start()

    @property
    def is_ready(self) -> bool:
        """Whether `run.json` is there and says that everything is ready."""
        return bool(self._told()["ready"])

    @property
    def services(self) -> dict[str, Any]:
        """What `run.json` says of each service; empty when there is none."""
        services: dict[str, Any] = self._told()["services"]
        return services

    def start(self) -> Child:
        """Start everything and wait until it says that it is ready."""
        self.child = self._nursery.start("up", [PYTHON, "-m", "cli", "up"], env=self._env)
        self.child.wait_until(lambda: self.is_ready, READY_WITHIN_S)
        return self.child

    def url(self, service: str) -> str:
        """Give a service's address."""
        return str(self.services[service]["url"])

    def pid(self, service: str) -> int:
        """Give a service's process."""
        return int(self.services[service]["pid"])

    def http(self, service: str = "api", **options: Any) -> httpx.Client:
        """Open a client of a service."""
        client = plain_client(self.url(service))
        client.headers.update(options)
        return client

    def get(self, path: str, **query: str) -> Any:
        """Ask the API and return the document of its answer."""
        with self.http() as http:
            answer = http.get(path, params=query)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def order(self, **wish: Any) -> dict[str, Any]:
        """Place an order and return it as it was accepted."""
        with self.http() as http:
            answer = http.post("/orders/", json=wish)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        placed: dict[str, Any] = answer.json()
        return placed

    def wait_for(self, order_id: int, status: str) -> dict[str, Any]:
        """Wait until an order is in a state."""
        path = f"/orders/{order_id}"
        eventually(lambda: self.get(path)["status"] == status, 60, what=f"{path} {status}")
        shown: dict[str, Any] = self.get(path)
        return shown

    def ledger(self) -> Ledger:
        """Read the gateway's ledger."""
        with self.http("gateway") as http:
            body = http.get("/admin/ledger").json()
        return Ledger(
            charges=[Charge(**charge) for charge in body["charges"]],
            refunds=[Refund(**refund) for refund in body["refunds"]],
        )

    def redis(self) -> "redis.Redis":
        """Open a plain client of the embedded Redis."""
        client: redis.Redis = redis.Redis.from_url(self.url("redis"), decode_responses=True)
        return client

    def database(self) -> Database:
        """Open the embedded database beside the application."""
        return open_database(self.url("database"))

    def footprint(self) -> Footprint:
        """Tell which processes and ports this run occupies."""
        urls = [told["url"] for told in self.services.values() if "url" in told]
        ports = {port for url in urls if (port := urlsplit(url).port)}
        return Footprint(frozenset({self.child.pid, *self.child.children()}), frozenset(ports))

    def stop(self) -> float:
        """Ask for the stop with SIGTERM and return how many seconds it took."""
        began = time.monotonic()
        self.child.send(signal.SIGTERM)
        assert self.child.wait() == 0, self.child.log()
        return time.monotonic() - began

    def _told(self) -> dict[str, Any]:
        file = self.folder / "run.json"
        if not file.exists():
            return {"ready": False, "services": {}}
        told: dict[str, Any] = json.loads(file.read_text())
        return told


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # gone, or going as we look
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
