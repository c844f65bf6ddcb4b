"""The stand-ins for the outside world, as one real process, with their knobs and their ledger."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.support.http import answers_ok, plain_client
from tests.support.processes import PYTHON, Child, Nursery, free_port

ServiceName = Literal["gateway", "finnhub", "feed"]


@dataclass(frozen=True)
class Charge:
    """A charge as the gateway's own ledger has it; `reference` is our order id."""

    id: str
    reference: str
    idempotency_key: str
    amount: int
    currency: str
    status: str
    created_at: Any


@dataclass(frozen=True)
class Refund:
    """A refund as the gateway's own ledger has it."""

    id: str
    charge: str
    amount: int
    created_at: Any
    idempotency_key: str


@dataclass(frozen=True)
class Ledger:
    """What the gateway says happened; amounts in minor units."""

    charges: list[Charge]
    refunds: list[Refund]

    def charges_of(self, reference: object) -> list[Charge]:
        """List the charges of one order."""
        return [charge for charge in self.charges if charge.reference == str(reference)]

    def kept(self, reference: object) -> int:
        """Sum what the gateway took for one order and has not given back."""
        charges = self.charges_of(reference)
        ids = {charge.id for charge in charges}
        given_back = sum(refund.amount for refund in self.refunds if refund.charge in ids)
        return sum(charge.amount for charge in charges) - given_back


class Sandbox:
    """The process of `python -m sandbox` on three free ports."""

    def __init__(self, nursery: Nursery, data_dir: Path, *, seed: int = 1) -> None:
        self._nursery = nursery
        self._data_dir = data_dir
        self._seed = seed
        self._ports: dict[ServiceName, int] = {
            "gateway": free_port(),
            "finnhub": free_port(),
            "feed": free_port(),
        }
        self.child = self._start()

    @property
    def gateway_port(self) -> int:
        """The gateway's port, to put a proxy in front of."""
        return self._ports["gateway"]

    @property
    def gateway_url(self) -> str:
        """The gateway's base URL."""
        return self._base("gateway")

    @property
    def finnhub_url(self) -> str:
        """Finnhub's base URL."""
        return f"{self._base('finnhub')}/api/v1"

    @property
    def websocket_url(self) -> str:
        """Finnhub's websocket."""
        return f"ws://127.0.0.1:{self._ports['finnhub']}/"

    @property
    def feed_url(self) -> str:
        """The product feed's URL."""
        return f"{self._base('feed')}/products"

    def env(self) -> dict[str, str]:
        """Make the settings that point the application here."""
        return {
            "GATEWAY_URL": self.gateway_url,
            "FINNHUB_BASE_URL": self.finnhub_url,
            "SANDBOX_FEED_URL": self.feed_url,
        }

    def ledger(self) -> Ledger:
        """Read the gateway's ledger: the oracle of every test about money."""
        body = self._ask("GET", "gateway", "/admin/ledger")
        return Ledger(
            charges=[Charge(**charge) for charge in body["charges"]],
            refunds=[Refund(**refund) for refund in body["refunds"]],
        )

    def calls(self, service: ServiceName, *, path: str | None = None) -> int:
        """Count the calls of a service: all, or those of one path (without `/api/v1`)."""
        counted = self._ask("GET", service, "/admin/calls")
        return int(counted["total"] if path is None else counted["by_path"].get(path, 0))

    def calls_by_symbol(self) -> dict[str, int]:
        """Count Finnhub's calls by symbol."""
        return dict(self._ask("GET", "finnhub", "/admin/calls")["by_symbol"])

    def refused(self) -> int:
        """Count Finnhub's calls that were beyond what the key allows, since its last start."""
        return int(self._ask("GET", "finnhub", "/admin/limits")["refused"])

    @contextmanager
    def gateway_books(self) -> Iterator[sqlite3.Connection]:
        """Open the gateway's own books, to cheat in them."""
        with closing(sqlite3.connect(self._data_dir / "gateway.db", timeout=60)) as books, books:
            yield books

    def fault(
        self,
        service: ServiceName,
        name: str,
        *,
        times: int | None = None,
        match: dict[str, str] | None = None,
        **knobs: float,
    ) -> None:
        """Arm a fault for the next `times` matching requests, or until `clear_faults`."""
        wish = {"fault": name, "times": times, "match": match, **knobs}
        body = {key: value for key, value in wish.items() if value is not None}
        self._ask("POST", service, "/admin/faults", json=body)

    def faults(self, service: ServiceName) -> list[str]:
        """List the faults that a service knows."""
        return list(self._ask("GET", service, "/admin/faults")["names"])

    def struck(self, service: ServiceName, name: str) -> int:
        """Count how often a fault has struck since the last `clear_faults`."""
        return int(self._ask("GET", service, "/admin/faults")["struck"].get(name, 0))

    def clear_faults(self, service: ServiceName) -> None:
        """Disarm every fault of a service."""
        self._ask("DELETE", service, "/admin/faults")

    def reset(self) -> None:
        """Disarm all faults and forget all counts; the ledger stays, as a bank's would."""
        for service in self._ports:
            self._ask("DELETE", service, "/admin/faults")
            self._ask("DELETE", service, "/admin/calls")

    def restart(self) -> None:
        """End the process with SIGKILL and start it again on the same ports and ledger."""
        self.child.kill_hard()
        self.child = self._start()

    def stop(self) -> None:
        """Stop the process."""
        self.child.stop()

    def _start(self) -> Child:
        ports = [
            text
            for service, port in self._ports.items()
            for text in (f"--{service}-port", str(port))
        ]
        child = self._nursery.start(
            "sandbox",
            [
                *(PYTHON, "-m", "sandbox", "--host", "127.0.0.1", *ports),
                *("--data-dir", self._data_dir, "--seed", str(self._seed)),
            ],
        )
        child.wait_until(
            lambda: all(answers_ok(f"{self._base(service)}/healthz") for service in self._ports)
        )
        return child

    def _base(self, service: ServiceName) -> str:
        return f"http://127.0.0.1:{self._ports[service]}"

    def _ask(
        self, method: str, service: ServiceName, path: str, *, json: object | None = None
    ) -> Any:
        with plain_client(self._base(service)) as client:
            answer = client.request(method, path, json=json)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()
