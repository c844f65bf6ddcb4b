"""Connections, raw: how slowly a caller may send, how much, and for how long."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api.connection import MAX_HEAD_BYTES, Connection
from tests.support.processes import free_port

PATIENCE_S = 0.5
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BIG = 50_000_000


class Hasty(Connection):
    """The same with less patience."""

    head_timeout_s = PATIENCE_S
    unread_timeout_s = PATIENCE_S


class Patient(Connection):
    """The same with so much patience that no load ends it."""

    head_timeout_s = 60


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, as the API does; answer with what the path asks for."""
    announced = [value for name, value in scope["headers"] if name == b"content-length"]
    refused = scope["path"] == "/refused"
    while announced and not refused and (await receive()).get("more_body"):
        pass
    body = b"x" * BIG if scope["path"] == "/big" else b"served"
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(http: type[Connection] = Hasty) -> AsyncIterator[int]:
    port = free_port()
    config = uvicorn.Config(
        application, port=port, http=http, lifespan="off", log_config=None, timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())  # noqa: SLF001 - `serve` would take our signals
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await running


async def answer_to(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send the parts with pauses between them until cut off; return all that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(read_all(reader))
    try:
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                if answer.done():
                    break
                await asyncio.sleep(pause_s)
        async with asyncio.timeout(60):
            return await answer
    finally:
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read to the end; who is cut off while he sends is told so in place of an end."""
    got = b""
    with suppress(ConnectionError):
        while part := await reader.read(1 << 20):
            got += part
    return got


def problem_in(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert "content-type: application/problem+json" in lines
    assert "x-content-type-options: nosniff" in lines
    assert "connection: close" in lines
    problem: dict[str, Any] = json.loads(body)
    assert f"x-request-id: {problem['request_id']}" in lines
    return int(lines[0].split()[1]), problem


async def test_head_that_drips_is_cut_off_and_told_why() -> None:
    drops = [bytes([byte]) for byte in GET]

    async with served() as port:
        answer = await answer_to(port, *drops, pause_s=PATIENCE_S / 5)

    status, problem = problem_in(answer)
    assert (status, problem["code"]) == (408, "head_too_slow")


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b""], id="silence"),
        pytest.param([b"\r\n"] * 10, id="empty lines"),
        pytest.param([GET, *[b"\r\n"] * 20], id="empty lines after a request"),
        pytest.param(
            [b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", *[b"x"] * 20],
            id="a body that was not waited for",
        ),
    ],
)
async def test_connection_on_which_no_request_comes_is_closed(parts: list[bytes]) -> None:
    async with served() as port:
        answer = await answer_to(port, *parts, pause_s=PATIENCE_S / 3)

    assert answer.count(b"HTTP/1.1 ") == sum(b"HTTP" in part for part in parts)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES, id="one header"),
        pytest.param(b"GET /" + b"x" * MAX_HEAD_BYTES, id="address"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * MAX_HEAD_BYTES, id="many headers"),
        pytest.param(b"\r\n" * MAX_HEAD_BYTES, id="empty lines"),
    ],
)
async def test_head_without_end_is_refused(head: bytes) -> None:
    async with served(Patient) as port:
        status, problem = problem_in(await answer_to(port, head))

    assert (status, problem["code"]) == (431, "head_too_large")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", id="TLS"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="version"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", id="space in a name"),
        pytest.param(b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", id="NUL"),
        pytest.param(b"GET /\xff HTTP/1.1\r\n\r\n", id="address beyond ASCII"),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two lengths",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", id="lengths"
        ),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", id="chunk's size"
        ),
    ],
)
async def test_what_is_no_http_is_told_as_a_problem(wrong: bytes) -> None:
    async with served(Patient) as port:
        answer = await answer_to(port, wrong)

    status, problem = problem_in(answer)
    assert (status, problem["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
async def test_nobody_changes_the_protocol(upgrade: bytes) -> None:
    asks = (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: %b\r\n\r\n" % upgrade
    )

    async with served(Patient) as port:
        answer = await answer_to(port, asks)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_requests_sent_in_one_go_are_all_answered() -> None:
    many = MAX_HEAD_BYTES // len(GET) + 50
    body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000

    async with served(Patient) as port:
        answer = await answer_to(port, GET * many + body + LAST)

    assert answer.count(b"HTTP/1.1 200 ") == many + 2


async def test_who_does_not_read_is_cut_off() -> None:
    cut_off = asyncio.Event()

    class Watched(Hasty):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            cut_off.set()

    async with served(Watched) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(cut_off.wait(), 60)
        got = await read_all(reader)
        writer.close()

    assert len(got) < BIG


async def test_slow_heads_do_not_hold_up_others() -> None:
    drops = [bytes([byte]) for byte in GET]

    async with served(Patient) as port:
        slow = [asyncio.create_task(answer_to(port, *drops, pause_s=5)) for _ in range(200)]
        answers = [await answer_to(port, LAST) for _ in range(5)]
        waiting = [one for one in slow if not one.done()]
        for one in slow:
            one.cancel()
        await asyncio.wait(slow)

    assert all(b" 200 " in answer for answer in answers)
    assert len(waiting) == len(slow)
