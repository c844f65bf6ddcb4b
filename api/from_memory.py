"""A shortcut past FastAPI's parsing for answers that are ready in memory.

Reading and checking parameters takes longer than the answer does. What is not ready, or not asked
for in the plainest way, goes the long way, where everything is checked.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

from fastapi import Request, Response
from fastapi.routing import APIRoute

from market import freshness
from market.questions import Market

HEADERS = {"Cache-Control": "public, max-age=1"}
JSON = "application/json"
_SYMBOL, _MAX_AGE = "symbol=", "max_age_s="
_AGE = re.compile("[0-9]{1,4}")
_USUAL_AGE = str(freshness.QUOTE_S)


class FromMemory(APIRoute):
    """A route that answers `?symbol=` or `?symbol=&max_age_s=` from memory, if fresh there."""

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
    first, and_, second = query.decode("latin-1").partition("&")
    if not first.startswith(_SYMBOL) or (and_ and not second.startswith(_MAX_AGE)):
        return None
    max_age = second.removeprefix(_MAX_AGE) if and_ else _USUAL_AGE
    symbol = first.removeprefix(_SYMBOL)
    if "%" in symbol:
        symbol = unquote(symbol)
    # Whatever is on the board is a symbol, unless another letter was made into one of A-Z.
    if not symbol.isascii() or not _AGE.fullmatch(max_age):
        return None
    market: Market = request.app.state.market
    return market.find_quote(symbol.upper(), max_age_s=int(max_age))
