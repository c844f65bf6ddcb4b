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

from api.market_answers import send
from market.documents import Ready
from market.questions import Market

_SYMBOL, _MAX_AGE = "symbol=", "max_age_s="
_AGE = re.compile("[0-9]{1,4}")


class FromMemory(APIRoute):
    """A route that answers `?symbol=` or `?symbol=&max_age_s=` from memory, if fresh there."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the shortcut before FastAPI's own handler."""
        long_way = super().get_route_handler()

        async def handle(request: Request) -> Response:
            ready = _find(request)
            return await long_way(request) if ready is None else send(request, ready)

        return handle


def _find(request: Request) -> Ready | None:
    query: bytes = request.scope["query_string"]
    first, and_, second = query.decode("latin-1").partition("&")
    if not first.startswith(_SYMBOL) or (and_ and not second.startswith(_MAX_AGE)):
        return None
    max_age = second.removeprefix(_MAX_AGE) if and_ else None
    symbol = first.removeprefix(_SYMBOL)
    if "%" in symbol:
        symbol = unquote(symbol)
    # Whatever is on the board is a symbol, unless another letter was made into one of A-Z.
    if not symbol.isascii() or (max_age is not None and not _AGE.fullmatch(max_age)):
        return None
    market: Market = request.app.state.market
    max_age_s = None if max_age is None else int(max_age)
    return market.find_quote(symbol.upper(), max_age_s=max_age_s)
