"""The stand-ins as a real process: one for most tests, private ones for tests that end it."""

import contextlib
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from tests.support.processes import ROOT, eventually, free_port

SERVICES = ("gateway", "finnhub", "feed")


class Charging(Protocol):
    """Sends one charge; what is not named is made up."""

    def __call__(self, *, key: str | None = None, **fields: object) -> httpx.Response: ...


class Arming(Protocol):
    """Arms one fault."""

    def __call__(self, service: httpx.Client, fault: str, **options: object) -> None: ...


class Stage:
    """One sandbox process on three ports, with its data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.ports = {service: free_port() for service in SERVICES}
        self.process = self._start()

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def kill_and_start_again(self) -> None:
        self.end()
        self.start_again()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def start_again(self) -> None:
        self.process = self._start()

    def terminate(self, *, timeout_s: float) -> str:
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=timeout_s)
        return output

    def _start(self) -> "subprocess.Popen[str]":
        ports = [f"--{service}-port={port}" for service, port in self.ports.items()]
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", f"--data-dir={self.data_dir}", "--seed=7", *ports],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            eventually(lambda: process.poll() is not None or all(map(self._answers, SERVICES)))
        except AssertionError:
            process.kill()  # nobody else knows of it yet
            raise
        assert process.poll() is None, process.communicate()[0]
        return process

    def _answers(self, service: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url(service)}/healthz", trust_env=False).is_success
        return False


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("stage") / "sandbox")
    yield stage
    stage.end()


@pytest.fixture
def own_stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "sandbox")
    yield stage
    stage.end()


@pytest.fixture(scope="session")
def clients(stage: Stage) -> Iterator[dict[str, httpx.Client]]:
    with contextlib.ExitStack() as stack:
        yield {
            service: stack.enter_context(
                httpx.Client(base_url=stage.url(service), trust_env=False, timeout=60)
            )
            for service in SERVICES
        }


@pytest.fixture
def gateway(clients: dict[str, httpx.Client]) -> Iterator[httpx.Client]:
    client = clients["gateway"]
    client.headers["authorization"] = "Bearer test"
    client.delete("/admin/calls")
    yield client
    client.delete("/admin/faults")
    client.delete("/admin/webhook")


@pytest.fixture
def finnhub(clients: dict[str, httpx.Client]) -> Iterator[httpx.Client]:
    client = clients["finnhub"]
    client.headers["x-finnhub-token"] = secrets.token_hex(8)
    client.delete("/admin/calls")
    yield client
    client.delete("/admin/faults")
    client.post("/admin/limits", json={"per_minute": 60, "per_second": 30})
    client.post("/admin/premium", json={"enabled": False})
    client.post("/admin/market", json={"hours": "always"})


@pytest.fixture
def feed(clients: dict[str, httpx.Client]) -> Iterator[httpx.Client]:
    client = clients["feed"]
    client.delete("/admin/calls")
    yield client
    client.delete("/admin/faults")


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> httpx.Client:
    client: httpx.Client = request.getfixturevalue(request.param)
    return client


@pytest.fixture
def charge(gateway: httpx.Client) -> Charging:
    def send(*, key: str | None = None, **fields: object) -> httpx.Response:
        reference = secrets.token_hex(8)
        body = {"reference": reference, "amount": 4200, "currency": "USD", "token": "tok_visa"}
        headers = {"idempotency-key": f"{reference}:1" if key is None else key}
        return gateway.post("/v1/charges", json=body | fields, headers=headers)

    return send


@pytest.fixture
def arm() -> Arming:
    def post(service: httpx.Client, fault: str, **options: object) -> None:
        answer = service.post("/admin/faults", json={"fault": fault, **options})
        assert answer.status_code == 201, answer.text

    return post
