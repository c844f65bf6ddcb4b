import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from api.guard import MAX_BODY_BYTES, RequestGuard
from tests.api.conftest import Api

JSON = {"Content-Type": "application/json"}


def post(api: Api, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    with api.client() as client:
        return client.post("/auth/register", content=content, headers={**JSON, **headers})


def padded(size: int) -> bytes:
    return b'{"name": "' + b"x" * (size - 12) + b'"}'


def test_body_at_the_limit_is_read(closed_api: Api) -> None:
    answer = post(closed_api, padded(MAX_BODY_BYTES))

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == "invalid"


def test_body_over_the_limit_is_refused(closed_api: Api) -> None:
    answer = post(closed_api, padded(MAX_BODY_BYTES + 1))

    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert answer.json()["code"] == "body_too_large"
    assert answer.headers["content-type"] == "application/problem+json"


def test_body_of_unknown_length_is_refused_at_the_limit(closed_api: Api) -> None:
    chunks = (b"x" * 10_000 for _ in range(1_000))

    answer = post(closed_api, chunks)

    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE


def test_chunked_body_within_the_limit_is_read(closed_api: Api) -> None:
    whole = padded(5_000)

    answer = post(closed_api, (whole[at : at + 700] for at in range(0, len(whole), 700)))

    assert answer.json()["code"] == "invalid"
    assert answer.json()["errors"][0]["field"] != "body"


def test_announced_size_is_refused_before_the_body_comes(closed_api: Api) -> None:
    with connected(closed_api) as link:
        link.sendall(
            b"POST /auth/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n"
            b"Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n"
        )

        assert link.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 60_000, id="deep"),
        pytest.param(b'{"name": "x", "name": "y"}', id="name twice"),
        pytest.param(b'{"name": NaN}', id="NaN"),
        pytest.param(b'{"name": "\\ud800"}', id="half a character"),
        pytest.param(b'{"name": ', id="cut off"),
        pytest.param(b"1" * 60_000, id="long number"),
    ],
)
def test_json_that_readers_could_differ_on_is_refused(closed_api: Api, body: bytes) -> None:
    answer = post(closed_api, body)

    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert answer.json()["code"] == "malformed_json"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"7", b"true"])
def test_json_of_another_shape_is_refused(closed_api: Api, body: bytes) -> None:
    answer = post(closed_api, body)

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["errors"][0]["field"] == "body"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "garbage"]
)
def test_body_that_is_not_sent_as_json_is_refused(closed_api: Api, content_type: str) -> None:
    answer = post(closed_api, b'{"name": "x"}', **{"Content-Type": content_type})

    assert answer.status_code == httpx.codes.UNSUPPORTED_MEDIA_TYPE
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize("query", ["limit=1&limit=2", "limit=1&l%69mit=1", "a=&a="])
def test_parameter_given_twice_is_refused(closed_api: Api, query: str) -> None:
    with closed_api.client() as client:
        answer = client.get(f"/products/?{query}")

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == "repeated_parameter"


async def serve(messages: list[Message], *, headers: list[tuple[bytes, bytes]]) -> "Served":
    """Send one request through the guard alone; after the messages the client stays silent."""
    served = Served()

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    guard = RequestGuard(served.app, body_timeout_s=0.05)
    scope = {"type": "http", "query_string": b"", "headers": headers}
    await guard(scope, receive, served.send)
    return served


class Served:
    """What came out of the guard on both sides."""

    def __init__(self) -> None:
        self.reached: Message | None = None
        self.sent: list[Message] = []

    async def app(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        self.reached = await receive()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sent[1]["body"])
        return found


LENGTH = [(b"content-length", b"10")]


async def test_body_that_never_ends_is_given_up() -> None:
    first = {"type": "http.request", "body": b"12345", "more_body": True}

    served = await serve([first], headers=LENGTH)

    assert served.reached is None
    assert served.problem["code"] == "body_too_slow"
    assert (b"connection", b"close") in served.sent[0]["headers"]


async def test_body_that_is_cut_off_is_not_taken_for_a_whole_one() -> None:
    first = {"type": "http.request", "body": b"12345", "more_body": True}

    served = await serve([first, {"type": "http.disconnect"}], headers=LENGTH)

    assert served.reached is None
    assert served.problem["code"] == "body_incomplete"


async def test_body_in_parts_arrives_as_one() -> None:
    parts: list[Message] = [
        {"type": "http.request", "body": b"12345", "more_body": True},
        {"type": "http.request", "body": b"67890"},
    ]

    served = await serve(parts, headers=LENGTH)

    assert served.reached == {"type": "http.request", "body": b"1234567890", "more_body": False}


async def test_request_without_a_body_is_not_waited_for() -> None:
    served = await serve([{"type": "http.request"}], headers=[])

    assert served.reached == {"type": "http.request"}


@contextmanager
def connected(api: Api) -> Iterator[socket.socket]:
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as link:
        yield link
