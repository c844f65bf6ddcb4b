"""What browsers are told to do, and not to do, with our answers.

Source: https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html, 2026-11.
"""

import base64
import re
from functools import lru_cache
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = b"content-security-policy"
_NOTHING = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_PAGE = (
    "default-src 'self'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: https:{feed}; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
FOR_DATA = (*_ALWAYS, (_POLICY, _NOTHING))
_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CORS_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match",
                 "Last-Event-ID", "X-Request-ID")  # fmt: skip
_CORS_EXPOSED = ("ETag", "Link", "Location", "Retry-After", "X-Request-ID")
_CORS_MAX_AGE_S = 600


class SecurityHeaders:
    """Adds the headers to every answer: data can do nothing, pages only what is our own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def send_safe(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                if _is_page(headers):
                    held = message  # its policy names the scripts that stand in its text
                    return
                message["headers"] = [*headers, *FOR_DATA]
            elif held is not None:
                feed_url = scope["app"].state.collaborators.settings.feed_url
                policy = _policy(bytes(message.get("body", b"")), _pictures(feed_url))
                start, held = held, None
                start["headers"] = [*start["headers"], *_ALWAYS, (_POLICY, policy)]
                await send(start)
            await send(message)

        await self._app(scope, receive, send_safe)


class CorsList:
    """Lets pages of the origins in `CORS_ORIGINS` call us; without any, no page of another site."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._chosen: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The settings are read when the application starts, after it has been put together.
        if self._chosen is None:
            self._chosen = self._choose(scope["app"].state.collaborators.settings.cors_origins)
        await self._chosen(scope, receive, send)

    def _choose(self, origins: tuple[str, ...]) -> ASGIApp:
        if not origins:
            return self._app
        return CORSMiddleware(
            self._app,
            allow_origins=origins,
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_HEADERS,
            expose_headers=_CORS_EXPOSED,
            max_age=_CORS_MAX_AGE_S,
        )


def _is_page(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value[:9] == b"text/html" for name, value in headers)


def _pictures(feed_url: str | None) -> str:
    """Give the origin of a feed that is not spoken to by TLS: its pictures stand beside it."""
    feed = urlsplit(feed_url or "")
    return f" http://{feed.netloc.rpartition('@')[2]}" if feed.scheme == "http" else ""


@lru_cache(maxsize=32)
def _policy(page: bytes, feed: str) -> bytes:
    hashes = (base64.b64encode(sha256(script).digest()) for script in _SCRIPT.findall(page))
    scripts = "".join(f" 'sha256-{made.decode()}'" for made in hashes)
    return _PAGE.format(scripts=scripts, feed=feed).encode()
