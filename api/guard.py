"""Refuses requests that no endpoint should have to look at: huge, slow or ambiguous ones."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import strict_json
from api.errors import respond
from shop.gateways.notices import SIGNATURE_HEADERS

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10
_SHOWN_NAME = 50
# Each line could be the one that is meant. `If-Match` and its like are lists, read over all lines.
_MEANT_ONCE = {
    name.lower().encode(): name
    for name in (
        "Idempotency-Key", "Last-Event-ID", "Content-Type", "Host",
        *map(str.title, SIGNATURE_HEADERS.values()),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Fault:
    status: HTTPStatus
    code: str
    detail: str


_TOO_LARGE = _Fault(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "body_too_large",
    f"The body is larger than {MAX_BODY_BYTES // 1024} KiB.",
)
_TOO_SLOW = _Fault(
    HTTPStatus.REQUEST_TIMEOUT,
    "body_too_slow",
    "The body did not arrive in time.",
)
# Nobody reads this one; it keeps a body that was cut off from being taken for a whole one.
_CUT_OFF = _Fault(HTTPStatus.BAD_REQUEST, "body_incomplete", "The body was cut off.")


class RequestGuard:
    """Looks at query, headers and body before anything else does.

    A body is read here in full, at most `MAX_BODY_BYTES`, and handed on to be read again.
    """

    def __init__(self, app: ASGIApp, *, body_timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app = app
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        names = [name for name, _ in scope["headers"]]
        fault = _fault_in_query(scope["query_string"]) or _fault_in_headers(names)
        if fault is None and (b"content-length" in names or b"transfer-encoding" in names):
            sent = Headers(scope=scope)
            body = await _read(sent, receive, self._body_timeout_s)
            fault = body if isinstance(body, _Fault) else _fault_in_body(sent, body)
            if not isinstance(body, _Fault):
                receive = _replay(body, receive)
        if fault is not None:
            # A connection on which a body still trickles is of no use for another request.
            headers = {"Connection": "close"} if fault is _TOO_SLOW else None
            refusal = respond(scope, fault.status, fault.code, fault.detail, headers=headers)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _fault_in_query(query: bytes) -> _Fault | None:
    if b"&" not in query:
        return None
    names: set[str] = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in names:
            detail = f"{name[:_SHOWN_NAME]}: given more than once."
            return _Fault(HTTPStatus.UNPROCESSABLE_ENTITY, "repeated_parameter", detail)
        names.add(name)
    return None


def _fault_in_headers(names: list[bytes]) -> _Fault | None:
    if len(set(names)) == len(names):
        return None
    for name, shown in _MEANT_ONCE.items():
        if names.count(name) > 1:
            detail = f"{shown}: given more than once. Send one line of it."
            return _Fault(HTTPStatus.BAD_REQUEST, "repeated_header", detail)
    return None


async def _read(headers: Headers, receive: Receive, timeout_s: float) -> bytes | _Fault:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        return _TOO_LARGE
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_all(receive)
    except TimeoutError:
        return _TOO_SLOW


async def _read_all(receive: Receive) -> bytes | _Fault:
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return _CUT_OFF
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return _TOO_LARGE
        more = message.get("more_body", False)
    return body


def _fault_in_body(headers: Headers, body: bytes) -> _Fault | None:
    if not body or "json" not in headers.get("content-type", "").lower():
        return None
    found = strict_json.find_fault(body)
    return _Fault(HTTPStatus.BAD_REQUEST, "malformed_json", found) if found else None


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
