"""Every error as `application/problem+json`, and which HTTP status each kind has.

Source: RFC 9457, https://www.rfc-editor.org/rfc/rfc9457, 2026-11.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from accounts.tokens import BadToken
from api.head import answers_head
from infra import db
from infra.errors import (
    AppError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    PreconditionFailed,
    TimedOut,
    TooMany,
    Transient,
    Unauthenticated,
)
from infra.logs import log

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "tradepost.request_id"
_STATUS: dict[type[AppError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Gone: HTTPStatus.GONE,
    Conflict: HTTPStatus.CONFLICT,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    TooMany: HTTPStatus.TOO_MANY_REQUESTS,
    TimedOut: HTTPStatus.GATEWAY_TIMEOUT,
    Transient: HTTPStatus.SERVICE_UNAVAILABLE,
}
_MAX_FIELDS = 20
_MAX_FIELD_NAME = 100
_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not know this method.",
}


class FieldError(BaseModel):
    """One field that was refused."""

    field: str
    message: str


class Problem(BaseModel):
    """An error as every call tells it (RFC 9457); some errors add members of their own."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no order 17."])
    code: str = Field(description="Stable, for programs.", examples=["order_not_found"])
    request_id: str = Field(description="Tells the request in our logs.")
    errors: list[FieldError] = Field(default=[], description="Fields that were refused.")


def install(app: FastAPI) -> None:
    """Let every error of the application be answered as a problem."""
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for kind in db.SERVER_ERRORS:
        app.add_exception_handler(kind, _on_server_error)


def problems(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Make the `responses` of an endpoint from the errors it answers with."""
    described: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        line = f"`{error.code}`: {(error.__doc__ or '').splitlines()[0]}"
        known = described.get(int(status_of(error)))
        described[int(status_of(error))] = {
            "description": f"{known['description']}  \n{line}" if known else line,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return described


def status_of(error: type[AppError]) -> HTTPStatus:
    """Find the HTTP status of a kind of error; one that no caller should see is a 500."""
    for kind in error.__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def answer(scope: Scope, error: AppError) -> Response:
    """Answer with one of our errors."""
    status = status_of(type(error))
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request_failed", code=error.code, detail=error.detail)
        return answer_internal(scope)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request_not_served", code=error.code)
    return respond(
        scope, status, error.code, error.detail, extra=error.extra, headers=_headers_of(error)
    )


def answer_internal(scope: Scope) -> Response:
    """Answer that something failed which the caller cannot know and need not know."""
    return respond(
        scope,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "Something went wrong on our side. The request id tells it in our logs.",
    )


def respond(
    scope: Scope,
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build a problem response; `extra` adds members, and cannot replace those of every problem."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": scope.get(REQUEST_ID, ""),
    }
    return Response(
        orjson.dumps({**members, **(extra or {}), **members}, default=str),
        status_code=status,
        headers={**(headers or {}), "Cache-Control": "no-store"},
        media_type=MEDIA_TYPE,
    )


def _headers_of(error: AppError) -> dict[str, str]:
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        return {"Retry-After": str(retry_after_s)}
    if isinstance(error, BadToken):
        return {"WWW-Authenticate": 'Bearer realm="tradepost", error="invalid_token"'}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="tradepost"'}
    return {}


async def _on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101 - tells the type checker what it is registered for
    return answer(request.scope, error)


async def _on_server_error(request: Request, error: Exception) -> Response:
    translated = db.as_app_error(error)
    if translated is None:
        log.error("request_failed", exc_info=error)
        return answer_internal(request.scope)
    return answer(request.scope, translated)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    detail = _DETAILS.get(status, str(error.detail))
    headers = dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _methods_at(request)
    return respond(request.scope, status, code, detail, headers=headers)


def _methods_at(request: Request) -> str:
    """Name what can be done at an address; each route by itself knows its own methods only."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods and answers_head(request.scope):
        methods.add("HEAD")
    return ", ".join(sorted(methods))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    if isinstance(error.body, bytes):
        return respond(
            request.scope,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the body as JSON, with the header Content-Type: application/json.",
        )
    fields = _fields(error.errors())
    first = fields[0]
    return respond(
        request.scope,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        f"{first['field']}: {first['message']}",
        extra={"errors": fields},
    )


def _fields(found: Sequence[Any]) -> list[dict[str, str]]:
    return [
        {"field": _field_name(error["loc"]), "message": _message(error)}
        for error in found[:_MAX_FIELDS]
    ]


def _message(error: Mapping[str, Any]) -> str:
    # Of text whose length is looked at after our own checks it would speak as of a list.
    if error["type"] == "too_long" and isinstance(error["input"], str):
        return f"must have at most {error['ctx']['max_length']} characters"
    message: str = error["msg"].removeprefix("Value error, ")
    return message


def _field_name(loc: tuple[str | int, ...]) -> str:
    # The first part says where: body, query, path or header. Alone, it is the body itself.
    parts = loc[1:] or loc
    return ".".join(str(part) for part in parts)[:_MAX_FIELD_NAME]
