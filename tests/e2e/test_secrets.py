"""A run with marked secrets, looked through: environments, arguments, logs, Redis, database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import StartRun
from tests.support.processes import descendants, eventually, free_port
from tests.support.run import FLOWER_LOGIN, WholeRun

OWNERS = {
    "SECRET_KEY": {"api"},
    "GATEWAY_WEBHOOK_SECRET": {"api", "gateway", "feed"},  # the stand-ins are one process
    "STRIPE_WEBHOOK_SECRET": {"api"},
    "STRIPE_API_KEY": {"worker-payments"},
    "FINNHUB_API_KEY": {"worker-market"},
}
MARKED = {
    name: f"marked-{number}7c31e9d5b8f24a60-of-this-test" for number, name in enumerate(OWNERS)
}
PASSWORD = "marked-password-of-somebody"
Handed = dict[str, str]

pytestmark = [pytest.mark.proof, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def run(start_run: StartRun) -> WholeRun:
    """A run whose market data cannot be had, so that there are errors to be told."""
    nowhere = f"http://127.0.0.1:{free_port()}/api/v1"
    return start_run(AUTH_MODE="required", FINNHUB_BASE_URL=nowhere, LOG_LEVEL="DEBUG", **MARKED)


@pytest.fixture(scope="module")
def handed(run: WholeRun) -> Handed:
    """What was handed to somebody who has used all there is; it must be nowhere either."""
    person = {"email": "ada@example.org", "password": PASSWORD, "name": "Ada"}
    form = {"username": person["email"], "password": PASSWORD}
    with run.http() as http:
        assert http.post("/auth/register", json=person).status_code == httpx.codes.CREATED
        http.post("/auth/token", data={**form, "password": f"{PASSWORD}-mistyped"})
        tokens: Handed = http.post("/auth/token", data=form).json()
        http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        eventually(lambda: http.get("/products/").json(), what="something to buy")
        order = http.post("/orders/", json={"id": 1}).json()
        eventually(lambda: http.get(f"/orders/{order['id']}").json()["status"] != "pending")
        http.get("/market/quote", params={"symbol": "AAPL"})
        http.get("/orders/", params={"cursor": tokens["access_token"]})
        http.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        ticket = http.post("/events/tickets").json()["ticket"]
    return {
        "password": PASSWORD,
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
        "ticket": ticket,
    }


def secrets_of(handed: Handed) -> dict[str, bytes]:
    flower = {"FLOWER_BASIC_AUTH": ":".join(FLOWER_LOGIN)}
    return {name: value.encode() for name, value in {**MARKED, **handed, **flower}.items()}


def processes_of(run: WholeRun) -> Iterator[tuple[str, int]]:
    for name, told in run.services.items():
        if "pid" in told:
            yield from ((name, pid) for pid in (told["pid"], *descendants(told["pid"])))


def found_in(text: bytes, secrets: dict[str, bytes]) -> set[str]:
    return {name for name, secret in secrets.items() if secret in text}


def values_in_redis(run: WholeRun) -> Iterator[str]:
    readers: dict[str, Any] = {
        "string": lambda client, key: client.get(key),
        "list": lambda client, key: client.lrange(key, 0, -1),
        "set": lambda client, key: client.smembers(key),
        "zset": lambda client, key: client.zrange(key, 0, -1),
        "hash": lambda client, key: client.hgetall(key),
        "stream": lambda client, key: client.xrange(key),
    }
    with run.redis() as client:
        for key in client.scan_iter():
            yield f"{key} {readers[client.type(key)](client, key)}"


def test_each_process_has_its_own_secrets_only(run: WholeRun) -> None:
    holders: dict[str, set[str]] = {name: set() for name in (*OWNERS, "FLOWER_BASIC_AUTH")}
    for service, pid in processes_of(run):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for name, holding in holders.items():
            if any(variable.startswith(f"{name}=".encode()) for variable in variables):
                holding.add(service)

    assert holders == {**OWNERS, "FLOWER_BASIC_AUTH": {"flower"}}


def test_no_secret_is_among_arguments(run: WholeRun, handed: Handed) -> None:
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for _, pid in processes_of(run)]

    assert found_in(b"\n".join(lines), secrets_of(handed)) == set()


def test_no_secret_is_in_a_log(run: WholeRun, handed: Handed) -> None:
    files = list(Path(run.folder).rglob("*.log"))

    assert len(files) > 5
    assert {
        file.name: found
        for file in files
        if (found := found_in(file.read_bytes(), secrets_of(handed)))
    } == {}


def test_no_secret_is_in_redis(run: WholeRun, handed: Handed) -> None:
    values = list(values_in_redis(run))

    assert len(values) > 5
    assert found_in("\n".join(values).encode(), secrets_of(handed)) == set()


def test_no_secret_is_in_the_database(run: WholeRun, handed: Handed) -> None:
    files = list(Path(run.folder).glob("tradepost.db*"))

    assert files
    for file in files:
        assert found_in(file.read_bytes(), secrets_of(handed)) == set()


def test_no_secret_is_in_what_the_run_tells(run: WholeRun, handed: Handed) -> None:
    told = (Path(run.folder) / "run.json").read_bytes() + run.child.log().encode()
    with run.http() as http:
        for path in ("/", "/readyz", "/metrics", "/openapi.json", "/nowhere"):
            told += http.get(path).content

    assert found_in(told, secrets_of(handed)) == set()
