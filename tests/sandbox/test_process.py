"""The process: quick to end, quiet, and forgetful of nothing that it has answered."""

import secrets
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import httpx
from websockets.sync.client import connect

from tests.support.processes import ROOT, eventually

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming, Stage

AUTHORIZED = {"authorization": "Bearer test"}
PATIENT_S = 60.0


def charge_until_refused(url: str, answered: list[str], over: Event) -> None:
    with httpx.Client(
        base_url=url, headers=AUTHORIZED, trust_env=False, timeout=PATIENT_S
    ) as client:
        while not over.is_set():
            reference = secrets.token_hex(8)
            body = {"reference": reference, "amount": 100, "currency": "USD"}
            try:
                answer = client.post(
                    "/v1/charges", json=body, headers={"idempotency-key": reference}
                )
            except httpx.HTTPError:
                return
            answered.append(answer.json()["id"])


def test_killed_under_load_it_remembers_every_charge_it_answered(own_stage: "Stage") -> None:
    answered: list[str] = []
    over = Event()
    url = own_stage.url("gateway")
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(charge_until_refused, url, answered, over)
        try:
            eventually(lambda: len(answered) >= 100, 60)
            own_stage.end()
        finally:
            over.set()
    own_stage.start_again()

    ledger = httpx.get(f"{url}/admin/ledger", trust_env=False, timeout=PATIENT_S).json()
    assert set(answered) <= {it["id"] for it in ledger["charges"]}


def test_restarted_it_still_knows_its_keys(own_stage: "Stage") -> None:
    def send() -> httpx.Response:
        return httpx.post(
            f"{own_stage.url('gateway')}/v1/charges",
            json={"reference": "1", "amount": 100, "currency": "USD"},
            headers={**AUTHORIZED, "idempotency-key": "1:1"},
            trust_env=False,
            timeout=PATIENT_S,
        )

    first = send()
    own_stage.kill_and_start_again()

    again = send()

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_ends_soon_with_requests_and_websockets_open(own_stage: "Stage", arm: "Arming") -> None:
    client = httpx.Client(base_url=own_stage.url("feed"), trust_env=False, timeout=PATIENT_S)
    arm(client, "hang")
    hanging = socket.create_connection(("127.0.0.1", own_stage.ports["feed"]))
    hanging.sendall(b"GET /products HTTP/1.1\r\nhost: x\r\n\r\n")
    eventually(lambda: client.get("/admin/calls").json()["total"] == 1)
    with connect(f"ws://127.0.0.1:{own_stage.ports['finnhub']}/?token=k", proxy=None):
        output = own_stage.terminate(timeout_s=20)

    assert own_stage.process.returncode == 0
    assert output.splitlines() == [
        f"{name} ready on {own_stage.url(name)}" for name in ("gateway", "finnhub", "feed")
    ]
    hanging.close()
    client.close()


def test_taken_port_is_named_in_one_sentence(stage: "Stage", tmp_path: Path) -> None:
    ports = [f"--{name}-port={port}" for name, port in stage.ports.items()]

    ended = subprocess.run(
        [sys.executable, "-m", "sandbox", f"--data-dir={tmp_path}", *ports],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENT_S,
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"The gateway stand-in cannot listen on 127.0.0.1:{stage.ports['gateway']}:"
        " it is taken. Choose another with --gateway-port."
    ]


def test_imports_no_other_package_of_the_project() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, sandbox.__main__; print(*{it.partition('.')[0] for it in sys.modules})",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert "sandbox" in loaded
    heavy = {"fastapi", "starlette", "pydantic", "httpx", "sqlalchemy"}
    assert not set(loaded) & {"api", "workers", "shop", "market", "accounts", "infra", *heavy}
