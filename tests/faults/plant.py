"""A whole running system over one product, to be hurt."""

import os
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import redis
from sqlalchemy.orm import Session

from infra.db import Database, transact
from infra.events import relay
from infra.events.relay import Relay
from infra.redis import connect
from infra.streams import Streams
from shop import products
from shop.products import Draft
from tests.support import invariants
from tests.support.fleet import Fleet
from tests.support.http import plain_client
from tests.support.leases import let_leases_end
from tests.support.processes import eventually
from tests.support.sandbox import Sandbox
from workers.topics import TOPICS

STOCK = 1000
PRICE_MINOR = 5000
# What beat starts by itself would write events while the invariants are being checked.
_AT_REST = {"SYNC_EVERY_S": "0", "WATCHLIST": ","}


class Plant:
    """Worker, beat and API as real processes, one product, and what came of it all."""

    def __init__(
        self,
        fleet: Fleet,
        database: Database,
        sandbox: Sandbox,
        client: "redis.Redis",
        *,
        armed: str,
        folder: Path,
        env: Mapping[str, str],
    ) -> None:
        self.fleet, self.database, self.sandbox = fleet, database, sandbox
        self.accepted: list[int] = []
        self._client = client
        self._crashes = folder / "crashes"
        self._crashes.mkdir()
        self._env = {
            **_AT_REST,
            "AUTH_MODE": "open",
            "FAILPOINTS": armed,
            "FAILPOINTS_DIR": str(self._crashes),
            **env,
        }
        self.product_id = transact(database.sessions, _put_on_sale)
        _publish(database, fleet.env["STREAMS_URL"])  # the first events to come are an order's
        self.worker = fleet.worker(env=self._env, wait=False)
        self.beat = fleet.beat(env=self._env, wait=False)
        self.api = fleet.api(env=self._env)

    def order(self, *, key: str | None = None, quantity: int = 1) -> int:
        """Place an order over HTTP; return its id, which the client has now been told of."""
        headers = {"Idempotency-Key": key} if key else {}
        with plain_client(self.api.url) as http:
            answer = http.post(
                "/orders/", json={"id": self.product_id, "quantity": quantity}, headers=headers
            )
        assert answer.status_code == httpx.codes.CREATED, answer.text
        order_id = int(answer.json()["id"])
        self.accepted.append(order_id)
        return order_id

    def orders(self, count: int) -> list[int]:
        """Place that many orders, four at a time."""
        with ThreadPoolExecutor(4) as threads:
            return list(threads.map(lambda _: self.order(), range(count)))

    def shown(self, order_id: int) -> dict[str, Any]:
        """Read an order over HTTP."""
        with plain_client(self.api.url) as http:
            shown: dict[str, Any] = http.get(f"/orders/{order_id}").json()
        return shown

    def withdraw(self) -> None:
        """Take the product off sale."""
        with plain_client(self.api.url) as http:
            answer = http.delete(f"/products/{self.product_id}")
        assert answer.is_success, answer.text

    def pause(self, queue: str) -> None:
        """Let workers take nothing from a queue."""
        self._turn(queue, "pause", {"reason": "orders are to wait for each other"})

    def resume(self, queue: str) -> None:
        """Let workers take from a queue again."""
        self._turn(queue, "resume")

    def restart_api(self) -> None:
        """Start the API again, with no crash armed."""
        self.api = self.fleet.api(env={**self._env, "FAILPOINTS": ""})

    def restart_worker(self) -> None:
        """Start a worker again, with no crash armed."""
        self.worker = self.fleet.worker(env={**self._env, "FAILPOINTS": ""})

    def wait_for_crash(self, name: str) -> None:
        """Wait until somebody has come to an armed place."""
        eventually((self._crashes / name).exists, 60, what=f"somebody comes to {name}")

    def wait_for(self, statuses: set[str]) -> None:
        """Wait until the accepted orders are in these states and no others."""
        eventually(lambda: self.statuses() == statuses, 60, what=f"orders are {statuses}")

    def wake_the_stopped(self) -> None:
        """Let processes go on that have stopped themselves."""
        for pid in self.worker.children():
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(pid, signal.SIGCONT)

    def recover(self) -> None:
        """Let the leases of the dead end, and wait until all is done and published."""
        let_leases_end(self.database)
        self.wait_until_quiet()

    def wait_until_quiet(self, timeout_s: float = 100) -> None:
        """Wait until every order is final and every stream is level; `check` says what is not."""
        with suppress(AssertionError):
            eventually(self._is_quiet, timeout_s, interval_s=0.1, tolerate=(redis.RedisError,))

    def check(self) -> None:
        """Check every invariant; if beat has written something meanwhile, once more after that."""
        with suppress(AssertionError):
            self._check()
            return
        self.wait_until_quiet()
        self._check()

    def statuses(self) -> set[str]:
        """Tell which states the accepted orders are in."""
        return {str(self.shown(order_id)["status"]) for order_id in self.accepted}

    def end(self) -> None:
        """End the processes at once: what they have in hand is of no interest any more."""
        for child in (self.worker, self.beat, self.api.child):
            child.kill_hard()

    def _check(self) -> None:
        invariants.check_all(
            self.database, self._client, self.sandbox.ledger(), accepted=self.accepted
        )

    def _turn(self, queue: str, how: str, body: object = None) -> None:
        with plain_client(self.api.url) as http:
            answer = http.post(f"/queues/{queue}/{how}", json=body)
        assert answer.is_success, answer.text

    def _is_quiet(self) -> bool:
        return invariants.is_quiet(self.database, self.accepted) and invariants.are_level(
            self.database, self._client
        )


def _publish(database: Database, streams_url: str) -> None:
    client = connect(streams_url)
    relay.publish(Relay(database.sessions, Streams(client), TOPICS))
    client.close()


def _put_on_sale(session: Session) -> int:
    draft = Draft("Lamp", PRICE_MINOR, "USD")
    return products.create(session, draft, quantity=STOCK).product.id
