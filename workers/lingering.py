"""Stay a moment after the work is done: what comes next is then taken up without a message.

A message's way over broker, parent and pipe into a child costs more than one order's settlement.
"""

from typing import Any

from celery import signals

from infra.errors import Transient
from infra.logs import log
from workers import deps, valves

WAIT_S = 0.1
# Other tasks wait for a process no longer than this because of one that stays.
STAY_S = 1.0
_children = 1


def install() -> None:
    """Take note of how many children a worker of this process has."""
    signals.celeryd_after_setup.connect(_count_children)


def _count_children(instance: Any, **_kwargs: object) -> None:  # noqa: ANN401 - celery's worker
    global _children  # noqa: PLW0603 - a process is one worker; its children inherit it
    _children = instance.min_concurrency or instance.concurrency


def is_called_again(task: str, *, queue: str) -> bool:
    """Wait a moment for the next ring of a task that has just found work; tell whether it came.

    Nobody waits who is a worker's only child: the other tasks of its queues would wait with him. Of
    all workers' processes one waits at a time.
    """
    if _children < 2 or not valves.is_open(queue):  # noqa: PLR2004 - somebody else is there
        return False
    try:
        return deps.bells().wait(task, wait_s=WAIT_S)
    except Transient as error:
        log.warning("bell_not_heard", error=type(error).__name__)
        return False
