"""A few at a time: costly work waits for its turn without holding a thread that others need."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from infra.errors import Transient

T = TypeVar("T")


class LineTooLong(Transient):
    """More callers wait for the same costly work than will get their turn in time."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("Too many are waiting for this. Try again soon.", retry_after_s=5)


class Turns:
    """Threads of its own for one kind of work, and a line before them that has an end."""

    def __init__(self, *, at_once: int, most_waiting: int) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)
        self._most = at_once + most_waiting
        self._here = 0

    async def take(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread when its turn comes.

        Raises:
            LineTooLong: there is no room in the line.
        """
        if self._here >= self._most:
            raise LineTooLong
        self._here += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._here -= 1
