"""Routes whose endpoint looks its caller up itself, in the thread in which it works.

As a dependency the lookup runs in a thread of its own, and handing a request to a thread and back
takes about as long as the lookup.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from api import deps


class KnownFirst(APIRoute):
    """A route that tells nobody what is wrong with a request who may not make it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look the caller up before a request is refused that never reaches the endpoint."""
        handle = super().get_route_handler()

        async def handle_known(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                await run_in_threadpool(deps.receive(request).identify)
                raise

        return handle_known
