"""Whether the tasks of a queue may run now, or a person has paused them."""

import time
from dataclasses import dataclass, field

from infra.db import SERVER_ERRORS, transact
from infra.errors import Transient
from infra.jobs import queues
from infra.jobs.queues import Pause
from infra.logs import log
from workers import deps

_LOOK_EVERY_S = 1.0


@dataclass
class _Seen:
    pauses: dict[str, Pause] = field(default_factory=dict)
    until_s: float = 0.0


_seen = _Seen()


def may_run(queue: str) -> bool:
    """Tell whether a task of this queue may do its work; what it would have done stays due.

    A pause counts within a second. Where nobody can tell, the queue is open: a task that cannot
    read this row cannot read its work either.
    """
    try:
        pause = _pause_of(queue)
        return pause is None or (pause.passes > 0 and _take_pass(queue))
    except (Transient, *SERVER_ERRORS) as error:
        log.warning("pauses_not_read", error=type(error).__name__)
        return True


def is_open(queue: str) -> bool:
    """Tell whether nobody has paused a queue, for work that a task of another queue would do.

    Where nobody can tell it counts as paused: the queue's own task will find out.
    """
    try:
        return _pause_of(queue) is None
    except (Transient, *SERVER_ERRORS):
        return False


def _pause_of(queue: str) -> Pause | None:
    now_s = time.monotonic()
    if now_s >= _seen.until_s:
        with deps.database().reads() as session:
            _seen.pauses = queues.list_pauses(session)
        _seen.until_s = now_s + _LOOK_EVERY_S
    return _seen.pauses.get(queue)


def _take_pass(queue: str) -> bool:
    _seen.until_s = 0.0  # whoever gets it, it is gone
    taken = transact(deps.database().sessions, lambda session: queues.take_pass(session, queue))
    if taken:
        log.info("task_let_through", queue=queue)
    return taken
