import re

import httpx

from tests.api.conftest import Api
from tests.support.valkey import Valkey


def test_process_that_is_up_says_so(closed_api: Api) -> None:
    with closed_api.client() as client:
        answer = client.get("/healthz")

    assert answer.json() == {"status": "ok"}


def test_ready_means_every_part_is(closed_api: Api, valkey: Valkey) -> None:
    with closed_api.client() as client:
        answer = client.get("/readyz")

    assert answer.status_code == httpx.codes.OK
    assert answer.json()["ready"] is True
    assert list(answer.json()["parts"]) == ["database", "tables", "broker", "streams", "cache"]
    assert answer.headers["cache-control"] == "no-store"


def test_part_that_fails_is_named_and_comes_back(closed_api: Api, valkey: Valkey) -> None:
    valkey.stop()
    with closed_api.client() as client:
        without = client.get("/readyz")
        valkey.start()
        again = client.get("/readyz")

    assert without.status_code == httpx.codes.SERVICE_UNAVAILABLE
    parts = without.json()["parts"]
    assert [name for name, part in parts.items() if not part["ok"]] == [
        "broker",
        "streams",
        "cache",
    ]
    assert parts["broker"]["detail"] == "Redis cannot be reached. Try again soon."
    assert again.status_code == httpx.codes.OK


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
    assert "12345" not in text
    assert "tradepost_http_request_duration_seconds_bucket" in text
