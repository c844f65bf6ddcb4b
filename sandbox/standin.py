"""One stand-in: an ASGI application with routes, a control surface and faults."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from sandbox.faults import FaultBook
from sandbox.wire import (
    Answer,
    Headers,
    Receive,
    Refusal,
    Reply,
    Request,
    Scope,
    Send,
    Silence,
    json_answer,
    read_body,
    send_answer,
)

Handler = Callable[[Request], Awaitable[Reply]]
Routes = Mapping[str, Mapping[str, Handler]]
Gate = Callable[[Request], Headers]
Wording = Callable[[Refusal], object]
Talk = Callable[[Scope, Receive, Send], Awaitable[None]]

HANG_S = 60.0
MOST_COUNTED_SYMBOLS = 10_000
TRANSPORT_FAULTS = ("hang", "http_500", "http_429", "garbage", "html")
_GARBAGE = b'{"id": "\xff\xfe", "data": [{"c": 12.'
_HTML = b"<!DOCTYPE html><html><title>522</title><body>Connection timed out</body></html>"


class Calls:
    """How often a stand-in was called, by path and by symbol."""

    def __init__(self) -> None:
        self.total = 0
        self.by_path: Counter[str] = Counter()
        self.by_symbol: Counter[str] = Counter()

    def record(self, path: str, symbol: str | None) -> None:
        """Count one call."""
        self.total += 1
        self.by_path[path] += 1
        if symbol is None:
            return
        if symbol in self.by_symbol or len(self.by_symbol) < MOST_COUNTED_SYMBOLS:
            self.by_symbol[symbol] += 1

    def describe(self) -> dict[str, object]:
        """Return the counts as the control surface shows them."""
        return {
            "total": self.total,
            "by_path": dict(self.by_path),
            "by_symbol": dict(self.by_symbol),
        }


async def nothing_to_close() -> None:
    """Close nothing: the default of a stand-in that holds no resource."""


def no_gate(_request: Request) -> Headers:
    """Let every request in."""
    return ()


async def no_talk(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Refuse a websocket: the default of a stand-in that speaks only HTTP."""
    await send({"type": "websocket.close", "code": 1000})


def break_off(fault: str, *, too_many: Refusal, status: int = 200) -> Reply:
    """Answer as one of the transport faults does, with nothing done.

    Raises:
        Refusal: that is the fault.
    """
    if fault == "hang":
        return Silence()
    if fault == "http_500":
        raise Refusal(500, "internal", "Something broke. No details.")
    if fault == "http_429":
        raise too_many
    if fault == "garbage":
        return Answer(200, _GARBAGE)
    return Answer(status, _HTML, "text/html; charset=utf-8")


class StandIn:
    """An ASGI application that plays one outside service.

    A request is counted, passes the gate (key, limits), suffers armed transport faults and
    reaches its handler. `/admin/…` and `/healthz` skip all of that.

    Routes are `{path: {method: handler}}`; a path ending in `/{id}` takes any last segment.
    `prefix` stands before the paths of the service itself, not before those of the control surface.
    """

    def __init__(
        self,
        *,
        name: str,
        routes: Routes,
        book: FaultBook,
        wording: Wording,
        too_many: Refusal,
        prefix: str = "",
        gate: Gate = no_gate,
        talk: Talk = no_talk,
        close: Callable[[], Awaitable[None]] = nothing_to_close,
    ) -> None:
        self.name = name
        self.close = close
        self._book = book
        self._wording = wording
        self._too_many = too_many
        self._prefix = prefix
        self._gate = gate
        self._talk = talk
        self._calls = Calls()
        self._stopping = asyncio.Event()
        self._routes: Routes = {**routes, **self._control_surface()}

    def stop(self) -> None:
        """Let hanging requests go; the process is about to end."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "websocket":
            await self._talk(scope, receive, send)
            return
        try:
            reply = await self._reply(scope, receive)
        except Refusal as refusal:
            reply = self._refused(refusal)
        if isinstance(reply, Silence):
            if await self._caller_left(receive):
                return
            reply = self._refused(Refusal(504, "no_answer", "No answer was ever meant to come."))
        await send_answer(send, reply)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        path: str = scope["path"]
        if path.startswith("/admin/") or path == "/healthz":
            request = Request(scope, path=path, body=await read_body(receive))
            return await self._handler(path, request.method)(request)
        if not path.startswith(self._prefix):
            raise Refusal(404, "not_found", "There is nothing here.")
        # Finnhub's own client writes `/api/v1//quote`, and the real server does not mind.
        path = f"/{path.removeprefix(self._prefix).lstrip('/')}"
        request = Request(scope, path=path, body=await read_body(receive))
        return await self._serve(request)

    async def _serve(self, request: Request) -> Reply:
        self._calls.record(self._pattern(request.path) or "unknown", request.query.get("symbol"))
        headers = self._gate(request)
        if fault := self._book.take(("slow",), request.fields):
            await self._pause(fault.delay_s)
        if fault := self._book.take(TRANSPORT_FAULTS, request.fields):
            return break_off(fault.name, too_many=self._too_many, status=fault.status)
        reply = await self._handler(request.path, request.method)(request)
        if headers and isinstance(reply, Answer):
            return Answer(reply.status, reply.body, reply.content_type, reply.headers + headers)
        return reply

    def _pattern(self, path: str) -> str | None:
        if path in self._routes:
            return path
        pattern = f"{path.rpartition('/')[0]}/{{id}}"
        return pattern if pattern in self._routes else None

    def _handler(self, path: str, method: str) -> Handler:
        pattern = self._pattern(path)
        if pattern is None:
            raise Refusal(404, "not_found", "There is nothing here.")
        methods = self._routes[pattern]
        if method not in methods:
            allow = ", ".join(methods)
            raise Refusal(405, "method_not_allowed", f"Use {allow}.", (("allow", allow),))
        return methods[method]

    def _refused(self, refusal: Refusal) -> Answer:
        return json_answer(self._wording(refusal), status=refusal.status, headers=refusal.headers)

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    async def _caller_left(self, receive: Receive) -> bool:
        leaving = asyncio.ensure_future(_until_gone(receive))
        stopping = asyncio.ensure_future(self._stopping.wait())
        done, pending = await asyncio.wait(
            (leaving, stopping), timeout=HANG_S, return_when=asyncio.FIRST_COMPLETED
        )
        for task in pending:
            task.cancel()
        return leaving in done

    def _control_surface(self) -> Routes:
        return {
            "/healthz": {"GET": self._health},
            "/admin/calls": {"GET": self._show_calls, "DELETE": self._reset_calls},
            "/admin/faults": {
                "GET": self._show_faults,
                "POST": self._arm_fault,
                "DELETE": self._clear_faults,
            },
        }

    async def _health(self, _request: Request) -> Answer:
        return json_answer({"status": "ok", "service": self.name})

    async def _show_calls(self, _request: Request) -> Answer:
        return json_answer(self._calls.describe())

    async def _reset_calls(self, _request: Request) -> Answer:
        self._calls = Calls()
        return json_answer(self._calls.describe())

    async def _show_faults(self, _request: Request) -> Answer:
        return json_answer(self._book.describe())

    async def _arm_fault(self, request: Request) -> Answer:
        return json_answer(self._book.arm(request.json_object()).describe(), status=201)

    async def _clear_faults(self, _request: Request) -> Answer:
        self._book.clear()
        return json_answer(self._book.describe())


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
