from collections.abc import Iterator
from typing import Annotated

import httpx
import pymysql
import pytest
import structlog
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from structlog.testing import LogCapture

from accounts.users import EmailTaken, LastAdmin, UserNotFound
from api import access_log, errors
from api.bodies import Body, Line, Text
from api.errors import problems
from api.middleware import RequestLog
from infra.errors import (
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    Misconfigured,
    NotFound,
    TimedOut,
    TooMany,
    Transient,
    Unauthenticated,
)

SECRET = "mysql://root:hunter2@db"


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.state.write_access = access_log.write_nothing
    errors.install(app)
    app.add_middleware(RequestLog)
    return app


@pytest.fixture
def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
def logged() -> Iterator[LogCapture]:
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture
    structlog.configure(**before)


async def raising(app: FastAPI, client: httpx.AsyncClient, error: Exception) -> httpx.Response:
    @app.get("/")
    async def fail() -> None:
        raise error

    return await client.get("/")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x"), 404),
        (Conflict("x"), 409),
        (Invalid("x"), 422),
        (Unauthenticated("x"), 401),
        (Forbidden("x"), 403),
        (TooMany("x", retry_after_s=7), 429),
        (Transient("x"), 503),
        (TimedOut("x"), 504),
        (LastAdmin(), 409),
    ],
)
async def test_each_kind_of_error_has_its_status(
    app: FastAPI, client: httpx.AsyncClient, error: AppError, status: int
) -> None:
    answer = await raising(app, client, error)

    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == error.code
    assert answer.json()["detail"] == error.detail
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_error_shows_its_own_members_beside_those_of_every_problem(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    answer = await raising(app, client, Conflict("x", right_total=120, status="mine", code="mine"))

    assert answer.json()["right_total"] == 120
    assert (answer.json()["status"], answer.json()["code"]) == (409, "conflict")
    assert list(answer.json())[:6] == ["type", "title", "status", "detail", "code", "request_id"]


@pytest.mark.parametrize("error", [TooMany("x", retry_after_s=7), Transient("x", retry_after_s=7)])
async def test_error_that_passes_says_when_to_come_again(
    app: FastAPI, client: httpx.AsyncClient, error: AppError
) -> None:
    answer = await raising(app, client, error)

    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        Misconfigured(SECRET),
        AppError(SECRET),
        OperationalError(SECRET, {}, pymysql.err.OperationalError(1146, SECRET)),
        ProgrammingError(SECRET, {}, pymysql.err.ProgrammingError(1064, SECRET)),
        RecursionError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
    ],
)
async def test_error_of_ours_tells_the_caller_nothing_but_its_request_id(
    app: FastAPI, client: httpx.AsyncClient, logged: LogCapture, error: Exception
) -> None:
    answer = await raising(app, client, error)

    assert answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR
    assert answer.json()["code"] == "internal"
    assert "hunter2" not in answer.text
    [entry] = [entry for entry in logged.entries if entry["event"] == "request_failed"]
    assert entry["log_level"] == "error"
    assert entry["request_id"] == answer.json()["request_id"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperationalError("", {}, pymysql.err.OperationalError(2003, "")), "database_unavailable"),
        (OperationalError("", {}, pymysql.err.OperationalError(2013, "")), "database_unavailable"),
        (OperationalError("", {}, pymysql.err.OperationalError(1040, "")), "database_unavailable"),
        (OperationalError("", {}, pymysql.err.OperationalError(1205, "")), "in_flight"),
        (InterfaceError("", {}, pymysql.err.InterfaceError(0, "")), "database_unavailable"),
        (PoolTimeout(), "database_unavailable"),
    ],
)
async def test_database_that_does_not_serve_is_told_as_passing(
    app: FastAPI, client: httpx.AsyncClient, error: Exception, code: str
) -> None:
    answer = await raising(app, client, error)

    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.json()["code"] == code
    assert "retry-after" in answer.headers


async def test_unknown_address_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere/../at%0d%0aall")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_unknown_method_is_a_problem_that_names_the_known_ones(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    app.get("/")(lambda: None)
    app.post("/")(lambda: None)

    answer = await client.delete("/")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


class Inner(Body):
    count: int


class Outer(Body):
    name: Annotated[Line, Field(max_length=9)]
    note: Text = ""
    parts: list[Inner] = Field(default=[])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "parts": [{"count": 1}, {"count": "many"}]}, "parts.1.count"),
        ({"name": "x", "parts": [{"count": 1, "price": 2}]}, "parts.0.price"),
        ({"name": "x", "x" * 5000: 1}, "x" * 100),
        ({}, "name"),
        ({"name": "x", "note": "a\x0bb"}, "note"),
    ],
)
async def test_refused_field_is_named_by_its_path(
    app: FastAPI, client: httpx.AsyncClient, body: object, field: str
) -> None:
    @app.post("/")
    async def take(body: Outer) -> Outer:
        return body

    answer = await client.post("/", json=body)

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_text_that_is_too_long_is_told_in_characters(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.post("/")
    async def take(body: Outer) -> Outer:
        return body

    answer = await client.post("/", json={"name": "x" * 10})

    assert answer.json()["detail"] == "name: must have at most 9 characters"


async def test_only_the_first_of_many_refused_fields_are_named(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.post("/")
    async def take(body: Outer) -> Outer:
        return body

    answer = await client.post("/", json={"name": "x", "parts": [{}] * 1000})

    assert len(answer.json()["errors"]) == 20


async def test_text_keeps_its_lines_and_loses_the_space_around(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.post("/")
    async def take(body: Outer) -> Outer:
        return body

    answer = await client.post("/", json={"name": "  Käse 🧀 ", "note": " a\n\tb "})

    assert (answer.json()["name"], answer.json()["note"]) == ("Käse 🧀", "a\n\tb")


async def test_refused_parameter_is_named(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/")
    async def take(limit: Annotated[int, Query(le=10)]) -> int:
        return limit

    answer = await client.get("/?limit=11")

    assert answer.json()["errors"][0]["field"] == "limit"
    assert answer.json()["detail"] == "limit: Input should be less than or equal to 10"


async def test_answer_that_breaks_its_own_schema_is_our_fault(
    app: FastAPI, client: httpx.AsyncClient, logged: LogCapture
) -> None:
    class Out(BaseModel):
        count: int

    @app.get("/", response_model=Out)
    async def give() -> dict[str, str]:
        return {"count": SECRET}

    answer = await client.get("/")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text


def test_endpoint_describes_its_errors_by_status() -> None:
    described = problems(EmailTaken, LastAdmin, UserNotFound)

    assert set(described) == {404, 409}
    assert "`email_taken`" in described[409]["description"]
    assert "`last_admin`" in described[409]["description"]
