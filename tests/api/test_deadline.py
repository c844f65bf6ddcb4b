import time
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

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

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            await anyio.sleep(WORK_S)
            yield b" last"

        return StreamingResponse(parts())

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


async def test_answer_that_has_begun_may_take_its_time(client: httpx.AsyncClient) -> None:
    answer = await client.get("/stream")

    assert answer.text == "first last"
