"""What happens to every request before and after its endpoint, as plain ASGI."""

import re
import secrets
from collections.abc import Sequence
from time import perf_counter

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api import access_log
from api.errors import REQUEST_ID, answer_internal
from infra.logs import log

_CLIENT_GONE = 499
_SOUND_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """Names each request, answers what nobody else did, logs and counts it; the outermost part."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        named = _request_id(scope)
        scope[REQUEST_ID] = request_id = named.decode()
        bind_contextvars(request_id=request_id)
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", named)]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception:  # noqa: BLE001 - the outermost loop: logged, and answered without a word of it
            log.exception("request_failed")
            if not status:
                await answer_internal(scope)(scope, receive, send_named)
        finally:
            answered = access_log.describe(
                scope, status=status or _CLIENT_GONE, duration_s=perf_counter() - started
            )
            access_log.count(answered)
            scope["app"].state.write_access(answered)


class SlashAlias:
    """Lets `/orders` be `/orders/` without a redirect, which would make clients drop the body.

    Paths with parameters are left to the router, which redirects.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        known = {
            context.path
            for context in iter_route_contexts(routes)
            if context.path and "{" not in context.path
        }
        self._aliases = {
            alias: path
            for path in known
            if (alias := path.removesuffix("/") if path.endswith("/") else f"{path}/")
            and alias not in known
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] in self._aliases:
            scope["path"] = self._aliases[scope["path"]]
        await self._app(scope, receive, send)


class StartupSentence:
    """Tells why the application does not start in the sentence of the error, not in a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the process."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_sentence(message: Message) -> None:
            refusal = getattr(scope["app"].state, "refusal", None)
            if message["type"] == "lifespan.startup.failed" and refusal:
                message = {**message, "message": refusal}
            await send(message)

        await self._app(scope, receive, send_sentence)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SOUND_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode()
