"""What travels between a stand-in and its caller: requests, answers, refusals."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

# ASGI leaves the content of these mappings to the protocol, so their values are untyped.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]

JSON = "application/json"
BODY_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, ready to be sent."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """The decision not to answer until the caller leaves."""


Reply = Answer | Silence


class Refusal(Exception):
    """A request that is answered with an error; each stand-in words it in its own format."""

    def __init__(self, status: int, code: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


class Request:
    """One HTTP request, read to its end."""

    __slots__ = ("_query", "body", "headers", "method", "path", "scope")

    def __init__(self, scope: Scope, *, path: str, body: bytes) -> None:
        self.scope = scope
        self.method: str = "GET" if scope["method"] == "HEAD" else scope["method"]
        self.path = path
        self.body = body
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """Return the query's parameters; the last of a repeated one wins."""
        if self._query is None:
            raw: bytes = self.scope["query_string"]
            self._query = dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True))
        return self._query

    @property
    def last_segment(self) -> str:
        """Return what follows the last slash of the path."""
        return self.path.rpartition("/")[2]

    def header(self, name: str) -> str:
        """Return a header's value without surrounding blanks, or an empty string."""
        return self.headers.get(name.lower().encode(), b"").decode("latin-1").strip()

    def json_object(self) -> dict[str, object]:
        """Return the body as a JSON object.

        Raises:
            Refusal: 400, the body is not JSON or not an object.
        """
        try:
            parsed: object = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, "invalid_json", "The body is not valid JSON.") from error
        if not isinstance(parsed, dict):
            raise Refusal(400, "invalid_json", "The body must be a JSON object.")
        return parsed

    def fields(self) -> Mapping[str, object]:
        """Return everything a fault may be matched on: path, query, body and idempotency key."""
        found: dict[str, object] = dict(self.query)
        if self.body:
            # A request with a broken body can still be matched by its path.
            with contextlib.suppress(Refusal):
                found.update(self.json_object())
        found["method"] = self.method
        found["path"] = self.path
        found.setdefault("id", self.last_segment)
        found["idempotency_key"] = self.header("idempotency-key")
        return found


def json_answer(content: object, *, status: int = 200, headers: Headers = ()) -> Answer:
    """Answer with a JSON document."""
    return Answer(status, orjson.dumps(content), JSON, headers)


async def read_body(receive: Receive) -> bytes:
    """Read a request's body.

    Raises:
        Refusal: 413, the body is larger than 64 KiB; 400, the caller left before its end.
    """
    body = b""
    is_complete = False
    while not is_complete:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "incomplete", "The body ended too early.")
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT_BYTES:
            closing = (("connection", "close"),)
            raise Refusal(413, "too_large", "The body is larger than 64 KiB.", closing)
        is_complete = not message.get("more_body", False)
    return body


async def send_answer(send: Send, answer: Answer) -> None:
    """Send one answer as ASGI messages."""
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
