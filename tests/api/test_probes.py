import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.redis import connect
from infra.sharing.signs import CANARIES, Signs
from tests.api.conftest import Api, Starter
from tests.support.http import answers_ok, plain_client
from tests.support.processes import PYTHON, Nursery, eventually, free_port
from tests.support.valkey import Valkey
from workers.queues import NAMES

NEEDED = ["database", "tables", "broker", "streams", "cache"]
QUEUES = [f"queue {name}" for name in NAMES]


def age_canary(valkey: Valkey, queue: str, *, by_s: float) -> None:
    """Let a queue's canary have sung so long ago."""
    with valkey.client() as client:
        text = client.hget(CANARIES, queue)
        assert isinstance(text, str)
        sign = json.loads(text)
        client.hset(CANARIES, queue, json.dumps({**sign, "at": sign["at"] - by_s}))


def ready(client: httpx.Client) -> httpx.Response:
    """Ask until all can be used: on a busy machine a part may have no turn for two seconds."""

    def ask() -> list[httpx.Response]:
        answer = client.get("/readyz")
        return [answer] if answer.is_success else []

    (answer,) = eventually(ask, what="every part answers in time")
    return answer


def test_process_that_is_up_says_so(closed_api: Api) -> None:
    with closed_api.client() as client:
        answer = client.get("/healthz")

    assert answer.json() == {"status": "ok"}


def test_ready_means_every_part_is(closed_api: Api, valkey: Valkey) -> None:
    canaries = Signs(connect(valkey.url()), CANARIES)
    for name in NAMES:
        canaries.leave(name, worker="one@here")
    with closed_api.client() as client:
        answer = ready(client)

    assert (answer.json()["ready"], answer.json()["degraded"]) == (True, [])
    assert list(answer.json()["parts"]) == NEEDED + QUEUES
    assert answer.headers["cache-control"] == "no-store"


def test_part_that_fails_is_named_since_when_and_comes_back(
    closed_api: Api, valkey: Valkey
) -> None:
    valkey.stop()
    with closed_api.client() as client:
        without = client.get("/readyz")
        later = client.get("/readyz").json()["parts"]
        valkey.start()
        again = ready(client)

    assert without.status_code == httpx.codes.SERVICE_UNAVAILABLE
    parts = without.json()["parts"]
    assert {"broker", "streams", "cache"} <= {name for name in NEEDED if not parts[name]["ok"]}
    assert parts["broker"]["detail"] == "Redis cannot be reached. Try again soon."
    assert later["broker"]["since"] == parts["broker"]["since"]
    assert again.json()["parts"]["broker"]["since"] is None


def test_queue_that_nobody_consumes_is_named_and_orders_are_still_taken(
    closed_api: Api, valkey: Valkey
) -> None:
    canaries = Signs(connect(valkey.url()), CANARIES)
    for name in NAMES:
        canaries.leave(name, worker="one@here")
    age_canary(valkey, "market", by_s=46)
    with valkey.client() as redis:
        redis.hset(CANARIES, mapping={"forged": "no JSON", "other": '{"at": "now", "told": 1}'})
        redis.hset("tally", mapping={"forged": "no number", "another|kind": "1", "a|le|b": "1"})
        redis.hset("budget:finnhub:state", mapping={"granted:backfill": "x", "answered:ok": "y"})
    with closed_api.client() as client:
        answer = ready(client)
        scraped = client.get("/metrics").text

    assert answer.json()["degraded"] == ["queue market"]
    told = answer.json()["parts"]["queue market"]["detail"]
    assert 46 <= float(re.findall(r"No task has come through for (\d+) s", told)[0]) < 120
    assert 'tradepost_part_up{part="queue market"} 0.0' in scraped
    assert 'tradepost_part_up{part="queue payments"} 1.0' in scraped
    age_s = re.findall(r'tradepost_canary_age_seconds\{queue="market"\} (\S+)', scraped)
    assert 46 <= float(age_s[0]) < 120
    assert 'tradepost_finnhub_answers_total{answer="ok"} 0.0' in scraped
    assert "kind" not in scraped


def test_metrics_count_requests_by_route_not_by_path(closed_api: Api) -> None:
    with closed_api.client() as client:
        client.get("/users/12345")
        client.get("/users/67890")
        text = client.get("/metrics").text

    counted = re.findall(
        r'^tradepost_http_requests_total\{method="GET",route="(/users/[^"]*)",status="401"\} (\d+)',
        text,
        re.MULTILINE,
    )
    assert [route for route, _ in counted if "{" in route] == ["/users/{user_id}"]
    assert not [label for label in re.findall(r'="([^"]*)"', text) if "12345" in label]
    assert "tradepost_http_request_duration_seconds_bucket" in text


def test_metrics_are_given_while_servers_are_away(closed_api: Api, valkey: Valkey) -> None:
    valkey.stop()
    with closed_api.client() as client:
        text = client.get("/metrics").text
    valkey.start()

    assert 'tradepost_part_up{part="broker"} 0.0' in text
    assert "tradepost_due_rows" in text
    assert "tradepost_queue_depth" not in text


@pytest.fixture
def two_processes(
    nursery: Nursery, api_of: Starter, closed_api: Api, valkey: Valkey, tmp_path: Path
) -> Iterator[str]:
    """An API of two processes behind one port, which share a folder for what they count."""
    port = free_port()
    settings = {
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "AUTH_MODE": "open",
        "DATABASE_URL": closed_api.database_url,
        "BROKER_URL": valkey.url(),
        "API_PORT": str(port),
        "LOG_FORMAT": "json",
    }
    with nursery.group():
        child = nursery.start(
            "twins",
            [
                *(PYTHON, "-m", "uvicorn", "api.main:app", "--port", str(port), "--workers", "2"),
                *("--timeout-worker-healthcheck", "60"),  # one that is slow to start is well
            ],
            env=settings,
        )
        url = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: answers_ok(f"{url}/healthz"))
        yield url


def test_processes_of_one_port_count_together(two_processes: str) -> None:
    with plain_client(two_processes) as client:
        for _ in range(20):
            client.get("/auth/ping")

        def counted() -> Any:
            text = client.get("/metrics").text
            pings = r'http_requests_total\{method="GET",route="/auth/ping",status="200"\} 20'
            return re.search(pings, text) and "tradepost_due_rows" in text

        eventually(counted)
