import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Message

from api import errors
from api.access_log import NO_ROUTE, Answered
from api.middleware import RequestLog, SlashAlias
from tests.api.conftest import Api, Person
from tests.support.processes import eventually


class Desk:
    """A small application behind the middleware, and the lines it would have logged."""

    def __init__(self) -> None:
        self.lines: list[Answered] = []
        self.app = FastAPI()
        self.app.state.write_access = self.lines.append
        errors.install(self.app)
        self.app.add_middleware(SlashAlias, routes=self.app.routes)
        self.app.add_middleware(RequestLog)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://test"
        )


@pytest.fixture
def desk() -> Desk:
    desk = Desk()

    @desk.app.get("/things/{thing_id}")
    async def show(thing_id: int) -> int:
        return thing_id

    @desk.app.post("/things/", status_code=201)
    async def add(body: dict[str, int]) -> dict[str, int]:
        return body

    @desk.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    @desk.app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError

        return StreamingResponse(parts())

    return desk


@pytest.mark.parametrize("sent", ["a", "A-Z.0_9", "x" * 64])
async def test_request_id_of_the_caller_comes_back(desk: Desk, sent: str) -> None:
    answer = await desk.client.get("/things/1", headers={"X-Request-ID": sent})

    assert answer.headers.get_list("x-request-id") == [sent]
    assert desk.lines[0].request_id == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a/b", "é", "a\tb", '{"a":1}'])
async def test_request_id_that_could_forge_a_line_is_replaced(desk: Desk, sent: str) -> None:
    answer = await desk.client.get("/things/1", headers=[(b"X-Request-ID", sent.encode())])

    assert answer.headers["x-request-id"] != sent
    assert len(answer.headers["x-request-id"]) == 16


async def test_each_request_has_an_id_of_its_own(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.client.get("/things/1") for _ in range(20)))

    assert len({answer.headers["x-request-id"] for answer in answers}) == 20


async def test_line_tells_the_request_without_its_query(desk: Desk) -> None:
    await desk.client.get("/things/7?token=secret")

    [line] = desk.lines
    assert (line.method, line.path, line.route, line.status) == (
        "GET",
        "/things/7",
        "/things/{thing_id}",
        200,
    )
    assert line.duration_s > 0


async def test_line_of_an_unknown_address_has_no_route_and_no_raw_text(desk: Desk) -> None:
    await desk.client.get("/no%0d%0awhere")

    [line] = desk.lines
    assert (line.path, line.route, line.status) == ("/no%0d%0awhere", NO_ROUTE, 404)


async def test_unknown_method_is_counted_as_other(desk: Desk) -> None:
    await desk.client.request("BREW", "/things/7")

    assert (desk.lines[0].method, desk.lines[0].status) == ("OTHER", 405)


async def test_unexpected_error_is_answered_and_logged_as_one(desk: Desk) -> None:
    answer = await desk.client.get("/broken")

    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert desk.lines[0].status == 500


async def test_answer_that_breaks_off_is_not_answered_twice(desk: Desk) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    await desk.app(
        {"type": "http", "method": "GET", "path": "/half", "query_string": b"", "headers": []},
        receive,
        send,
    )

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1]["more_body"] is True


async def test_post_without_the_slash_keeps_its_body(desk: Desk) -> None:
    answer = await desk.client.post("/things", json={"a": 1})

    assert (answer.status_code, answer.json()) == (201, {"a": 1})


def lines_with(api: Api, text: str) -> list[str]:
    return [line for line in api.log().splitlines() if text in line]


def test_log_line_is_json_with_ids(closed_api: Api, person: Person) -> None:
    with closed_api.client(person.token, **{"X-Request-ID": "find-me-1"}) as client:
        client.get("/auth/me?x=hidden")

    [line] = eventually(lambda: lines_with(closed_api, '"find-me-1"'))
    told = json.loads(line)
    assert {name: told[name] for name in ("event", "service", "method", "path", "status")} == {
        "event": "request",
        "service": "api",
        "method": "GET",
        "path": "/auth/me",
        "status": 200,
    }
    assert told["user_id"] == person.id
    assert told["duration_ms"] > 0


def test_tokens_and_queries_are_never_logged(closed_api: Api, person: Person) -> None:
    with closed_api.client(person.token) as client:
        client.get("/auth/me?secret=hidden-in-query")
        client.get("/auth/me", headers={"Authorization": "Bearer hidden-in-header"})

    log = closed_api.log()
    assert person.token not in log
    assert "hidden-in" not in log
