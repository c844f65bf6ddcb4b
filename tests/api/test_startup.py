import signal
import time

import httpx
import pytest

from tests.support.fleet import Fleet
from tests.support.http import plain_client
from tests.support.processes import PYTHON, Nursery, free_port
from tests.support.valkey import Valkey

KEY = "a-signing-key-for-tests-only-0123456789abcdef-0123"
SERVE = [PYTHON, "-m", "uvicorn", "api.main:app", "--no-access-log", "--port"]


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        pytest.param(
            {"AUTH_MODE": "open", "API_HOST": "0.0.0.0"},  # noqa: S104 - what must be refused
            "AUTH_MODE is open, which serves this machine only, but API_HOST is 0.0.0.0: set"
            " API_HOST=127.0.0.1 or AUTH_MODE=required.",
            id="open to the network",
        ),
        pytest.param({"AUTH_MODE": "none"}, "AUTH_MODE is wrong", id="unknown mode"),
    ],
)
def test_wrong_setting_ends_the_start_with_one_sentence(
    processes: Nursery, env: dict[str, str], sentence: str
) -> None:
    child = processes.start("api", [*SERVE, str(free_port())], env=env)

    code = child.wait()

    assert code not in (0, None)
    assert sentence in child.log()
    assert "Traceback" not in child.log()


def test_starts_and_stops_while_no_server_can_be_reached(
    processes: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = free_port()
    env = {
        "SECRET_KEY": KEY,
        "DATABASE_URL": f"mysql://tradepost:x@127.0.0.1:{nowhere}/tradepost",
        "BROKER_URL": f"redis://127.0.0.1:{nowhere}/0",
        "LOG_FORMAT": "json",
    }
    service = Fleet(processes, env, tmp_path_factory.mktemp("api")).api(path="/healthz")

    with plain_client(service.url) as client:
        ready = client.get("/readyz")
        listed = client.get("/products/")
    code = service.child.stop()

    assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert not any(part["ok"] for part in ready.json()["parts"].values())
    assert listed.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert listed.json()["code"] == "database_unavailable"
    assert listed.headers["retry-after"] == "2"
    assert code in (0, -signal.SIGTERM)


def test_answers_within_patience_while_redis_is_frozen(
    processes: Nursery, valkey: Valkey, sqlite_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    env = {"SECRET_KEY": KEY, "DATABASE_URL": sqlite_url, "BROKER_URL": valkey.url()}
    service = Fleet(processes, env, tmp_path_factory.mktemp("api")).api()
    valkey.freeze()

    with plain_client(service.url) as client:
        began = time.monotonic()
        ready = client.get("/readyz")
        taken_s = time.monotonic() - began
    valkey.thaw()  # other tests of this folder only look whether it runs

    parts = ready.json()["parts"]
    assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert parts["database"]["ok"]
    assert not parts["streams"]["ok"]
    assert taken_s < 30
