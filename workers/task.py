"""The one way to declare a task: what Celery would silently ignore is a type error here."""

from collections.abc import Callable
from functools import wraps
from typing import Protocol

from infra.logs import log
from infra.redis import RedisDown
from workers import deps, valves
from workers.app import app


class Bell(Protocol):
    """A task without arguments: its message says that there may be work, never which."""

    name: str

    def apply_async(self) -> object:
        """Send the message."""

    def __call__(self) -> None:
        """Run the task here and now."""


def task(
    *, name: str, queue: str, time_limit_s: int = 60, runs_while_paused: bool = False
) -> Callable[[Callable[[], None]], Bell]:
    """Declare a task that is rung, never called with arguments.

    The bell is cleared before the work begins, so whoever adds work while it runs rings anew. On a
    paused queue nothing is done: what is due stays due.
    """

    def declare(work: Callable[[], None]) -> Bell:
        @wraps(work)
        def run() -> None:
            _clear_bell(name)
            if runs_while_paused or valves.may_run(queue):
                work()

        declared: Bell = app.task(
            name=name,
            queue=queue,
            time_limit=time_limit_s,
            soft_time_limit=time_limit_s - 15,
        )(run)
        return declared

    return declare


def _clear_bell(name: str) -> None:
    try:
        deps.bells().clear(name)
    except RedisDown:
        log.warning("bell_not_cleared", task=name)
