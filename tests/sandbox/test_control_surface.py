"""What every stand-in has: counted calls, faults on demand, plain refusals."""

import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.processes import eventually

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming

COMMON = {"slow", "hang", "http_500", "http_429", "garbage", "html"}
OWN = {
    "gateway": {
        "decline",
        "charge_then_hang",
        "charge_then_500",
        "wrong_amount",
        "webhook_twice",
        "webhook_late",
    },
    "finnhub": {"zeros", "no_access", "stale_time", "ws_silent"},
    "feed": {"empty", "shrunken"},
}
PLAIN_CALLS = {
    "gateway": "/v1/charges?reference=1",
    "finnhub": "/api/v1/country",
    "feed": "/products",
}


@pytest.fixture
def plain_call(service: httpx.Client) -> str:
    return PLAIN_CALLS[service.get("/healthz").json()["service"]]


def test_faults_are_listed_by_name(service: httpx.Client) -> None:
    name = service.get("/healthz").json()["service"]

    listed = service.get("/admin/faults").json()

    assert set(listed["names"]) >= COMMON | OWN[name]
    assert listed["armed"] == []


def test_calls_are_counted_by_path_until_reset(service: httpx.Client, plain_call: str) -> None:
    path = plain_call.removeprefix("/api/v1").partition("?")[0]
    service.get(plain_call)
    service.get(plain_call)

    counted = service.get("/admin/calls").json()
    after_reset = service.delete("/admin/calls").json()

    assert counted == {"total": 2, "by_path": {path: 2}, "by_symbol": {}}
    assert after_reset == {"total": 0, "by_path": {}, "by_symbol": {}}


def test_health_answers_and_is_not_counted_while_everything_fails(
    service: httpx.Client, arm: "Arming"
) -> None:
    arm(service, "http_500")

    health = service.get("/healthz")

    assert health.status_code == 200
    assert health.json()["status"] == "ok"
    assert service.get("/admin/calls").json()["total"] == 0


def test_server_error_strikes_as_often_as_told(
    service: httpx.Client, arm: "Arming", plain_call: str
) -> None:
    arm(service, "http_500", times=2)

    statuses = [service.get(plain_call).status_code for _ in range(3)]

    assert statuses == [500, 500, 200]
    assert service.get("/admin/faults").json()["struck"] == {"http_500": 2}


def test_fault_without_times_strikes_until_cleared(
    service: httpx.Client, arm: "Arming", plain_call: str
) -> None:
    arm(service, "http_429")

    while_armed = [service.get(plain_call).status_code for _ in range(3)]
    service.delete("/admin/faults")

    assert while_armed == [429, 429, 429]
    assert service.get(plain_call).status_code == 200


def test_garbage_claims_to_be_json(service: httpx.Client, arm: "Arming", plain_call: str) -> None:
    arm(service, "garbage")

    answer = service.get(plain_call)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(UnicodeDecodeError):
        answer.json()


def test_html_comes_with_the_status_that_was_asked_for(
    service: httpx.Client, arm: "Arming", plain_call: str
) -> None:
    arm(service, "html", times=1, status=522)
    arm(service, "html", times=1)

    answers = [service.get(plain_call) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [522, 200]
    assert {answer.headers["content-type"] for answer in answers} == {"text/html; charset=utf-8"}


def test_slow_answers_late_and_right(service: httpx.Client, arm: "Arming", plain_call: str) -> None:
    arm(service, "slow", delay_s=0.2, times=1)
    started = time.monotonic()

    answer = service.get(plain_call)

    assert answer.status_code == 200
    assert time.monotonic() - started >= 0.2


def test_hang_never_answers(service: httpx.Client, arm: "Arming", plain_call: str) -> None:
    arm(service, "hang", times=1)

    with pytest.raises(httpx.ReadTimeout):
        service.get(plain_call, timeout=0.2)

    eventually(lambda: service.get("/admin/faults").json()["struck"] == {"hang": 1})
    assert service.get(plain_call).status_code == 200


def test_fault_strikes_only_what_it_matches(feed: httpx.Client, arm: "Arming") -> None:
    arm(feed, "http_500", match={"id": 3})
    arm(feed, "http_429", match={"path": "/products/4"})

    statuses = [feed.get(f"/products/{number}").status_code for number in (3, 4, 5)]

    assert statuses == [500, 429, 200]


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"fault": "no_such_fault"},
        {"fault": 7},
        {"fault": "slow", "times": 0},
        {"fault": "slow", "times": True},
        {"fault": "slow", "times": "3"},
        {"fault": "slow", "delay_s": -1},
        {"fault": "slow", "delay_s": "long"},
        {"fault": "html", "status": 99},
        {"fault": "slow", "match": []},
        {"fault": "slow", "match": {"colour": "red"}},
        {"fault": "slow", "tims": 3},
    ],
)
def test_fault_nobody_knows_is_refused(service: httpx.Client, wish: dict[str, object]) -> None:
    answer = service.post("/admin/faults", json=wish)

    assert answer.status_code == 422
    assert service.get("/admin/faults").json()["armed"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"\xff", b'{"fault": NaN}', b"[" * 10_000]
)
def test_body_that_is_no_json_object_is_refused(service: httpx.Client, body: bytes) -> None:
    answer = service.post("/admin/faults", content=body)

    assert answer.status_code == 400
    assert "error" in answer.json()


def test_body_of_ten_megabytes_is_refused(service: httpx.Client) -> None:
    answer = service.post("/admin/faults", content=b" " * 10_000_000)

    assert answer.status_code == 413


def test_unknown_path_is_not_found(service: httpx.Client) -> None:
    answer = service.get("/admin/no-such-thing")

    assert answer.status_code == 404
    assert "error" in answer.json()


def test_wrong_method_names_the_right_ones(service: httpx.Client) -> None:
    answer = service.put("/admin/calls")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, DELETE"
