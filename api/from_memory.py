"""A shortcut past FastAPI's parsing for answers that are ready in memory.

Reading and checking parameters takes longer than the answer does. What is not ready, or not asked
for in the plainest way, goes the long way, where everything is checked.
"""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

from fastapi import Request, Response
from fastapi.routing import APIRoute

from market import freshness
from market.questions import Market

HEADERS = {"Cache-Control": "public, max-age=1"}
JSON = "application/json"
_ONLY_SYMBOL = b"symbol="


class FromMemory(APIRoute):
    """A route that answers `?symbol=` with a fresh quote from memory, if there is one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the shortcut before FastAPI's own handler."""
        long_way = super().get_route_handler()

        async def handle(request: Request) -> Response:
            body = _find(request)
            if body is None:
                return await long_way(request)
            return Response(body, headers=HEADERS, media_type=JSON)

        return handle


def _find(request: Request) -> bytes | None:
    query: bytes = request.scope["query_string"]
    if not query.startswith(_ONLY_SYMBOL) or b"&" in query:
        return None
    symbol = query[len(_ONLY_SYMBOL) :].decode("latin-1")
    if "%" in symbol:
        symbol = unquote(symbol)
    # Whatever is on the board is a symbol, unless another letter was made into one of A-Z.
    if not symbol.isascii():
        return None
    market: Market = request.app.state.market
    return market.find_quote(symbol.upper(), max_age_s=freshness.QUOTE_S)
