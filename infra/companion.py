"""Work that runs beside an event loop's other work, and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

_ASK_AGAIN_S = 0.2


@asynccontextmanager
async def beside(work: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """Run `work` as long as the body runs; an error that ended it early is raised at the end.

    It is cancelled until it has ended: up to Python 3.11 `asyncio.wait_for`, with which redis-py
    sends, drops a cancellation that comes as the sending ends, and a stop would wait for ever.

    Source: https://github.com/python/cpython/issues/86296, 2026-11.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_ASK_AGAIN_S)
        with suppress(asyncio.CancelledError):
            task.result()
