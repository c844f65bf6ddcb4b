import time

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from api import access_log, errors
from api.deadline import Deadline
from api.middleware import RequestLog

TIMEOUT_S = 0.2
WORK_S = 0.6


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def client(done: list[str]) -> httpx.AsyncClient:
    app = FastAPI()
    app.state.write_access = access_log.write_nothing
    errors.install(app)
    app.add_middleware(Deadline, timeout_s=TIMEOUT_S)
    app.add_middleware(RequestLog)

    @app.get("/thread")
    def work_in_a_thread() -> str:
        time.sleep(WORK_S)
        done.append("thread")
        return "late"

    @app.get("/failure")
    async def fail_late() -> None:
        await anyio.sleep(WORK_S)
        raise RuntimeError

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize("path", ["/thread", "/failure"])
async def test_answer_that_takes_too_long_is_a_504(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == httpx.codes.GATEWAY_TIMEOUT
    assert answer.json()["code"] == "too_slow"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"


async def test_work_begun_is_not_broken_off(client: httpx.AsyncClient, done: list[str]) -> None:
    await client.get("/thread")

    assert done == ["thread"]


async def test_answer_that_has_begun_may_take_its_time() -> None:
    first, last = {"type": "http.response.start", "status": 200}, {"type": "http.response.body"}
    sent: list[Message] = []

    async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(first)  # before anybody else has a turn: no load lets the deadline come first
        await anyio.sleep(2 * TIMEOUT_S)
        await send(last)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await Deadline(stream, timeout_s=TIMEOUT_S)({"type": "http"}, receive, send)

    assert sent == [first, last]
