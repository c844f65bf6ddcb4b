"""HEAD requests, which no route knows by itself."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A stream of events has no end, and who only looks at the head starts no settlement.
_WITHOUT_HEAD = frozenset({"/events", "/payments/start"})
_SYNCED_FIRST, _SYNC = "/products/", b"sync="


class HeadAsGet:
    """Answers HEAD as it would GET, without the body (RFC 9110, 9.3.2).

    Where GET has no end, or starts something, HEAD stays a method that is not known.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not answers_head(scope):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server must go on to see HEAD, since GET is answered with a body.
        asked: Scope = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        finally:
            scope.update({**asked, "method": "HEAD"})


def answers_head(scope: Scope) -> bool:
    """Tell whether an address that knows GET knows HEAD too."""
    path = scope["path"]
    starts_sync = path == _SYNCED_FIRST and _SYNC in scope["query_string"]
    return path not in _WITHOUT_HEAD and not starts_sync
