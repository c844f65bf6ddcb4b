"""Celery's signals become history: what a person asked for, and every task that failed.

Successful bells, sweeps and canaries leave no row. The work comes first: whatever goes wrong here
is logged, and what could not be written is kept for a while and written later.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from secrets import token_hex
from traceback import extract_tb
from types import TracebackType
from typing import Any

from celery import signals
from structlog.contextvars import bind_contextvars, clear_contextvars, unbind_contextvars

from infra import trace
from infra.db import SERVER_ERRORS
from infra.errors import Transient
from infra.jobs import in_hand, left_behind
from infra.jobs.hold import Hold
from infra.jobs.in_hand import Thing
from infra.jobs.tasks import Outcome, TaskState
from infra.logs import log
from infra.redaction import redact, secrets_of
from workers import counters, deps
from workers.counters import Ending

# Headers of a message: who asked, when it was sent, and which failed task it tries again.
REQUEST_ID, SENT_AT, RETRY_OF = "request_id", "sent_at", "retry_of"


@dataclass
class _Run:
    """The task that this process is at."""

    task_id: str
    name: str
    queue: str
    retry_of: int | None
    request_id: str | None
    began_s: float = field(default_factory=time.monotonic)
    things: list[Thing] = field(default_factory=list)
    token: str = field(default_factory=lambda: token_hex(8))
    hold: Hold | None = None

    @property
    def took_s(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began_s

    def outcome(self, state: TaskState, n: int = 0, **told: Any) -> Outcome:  # noqa: ANN401 - fields of Outcome
        """Say what became of the task itself, or of its n-th thing."""
        thing = self.things[n - 1] if n else None
        if thing is not None and thing.key:
            told["same_as"] = thing.key
        return Outcome(
            task_id=self.task_id,
            run=self.token,
            name=self.name,
            queue=self.queue,
            state=state,
            n=n,
            arguments=thing.arguments if thing else {},
            request_id=(thing.request_id if thing else None) or self.request_id,
            worker=_worker,
            runtime_ms=round(self.took_s * 1000),
            **told,
        )


_run: _Run | None = None
_worker: str | None = None
_began_s = time.monotonic()


def install() -> None:
    """Listen to Celery's signals from now on."""
    signals.celeryd_init.connect(_name_worker)
    signals.worker_ready.connect(_lose_what_was_left)
    signals.before_task_publish.connect(_stamp)
    signals.task_prerun.connect(_begin)
    signals.task_success.connect(_succeed)
    signals.task_failure.connect(_fail)
    signals.task_postrun.connect(_end)


def worker_name() -> str | None:
    """Give the name of the worker that this process belongs to."""
    return _worker


def _name_worker(sender: str, **_kwargs: object) -> None:
    global _worker  # noqa: PLW0603 - a process is one worker
    _worker = sender


def _lose_what_was_left(**_kwargs: object) -> None:
    """Fail what an earlier process of this worker's name had in hand when it was killed.

    All that this process has taken up is younger than itself.
    """
    try:
        lost = left_behind.lose_of(
            deps.database().sessions,
            _worker or "",
            older_than=timedelta(seconds=time.monotonic() - _began_s),
        )
    except (Transient, *SERVER_ERRORS) as error:
        log.warning("tasks_left_not_ended", error=type(error).__name__)  # `tasks.tidy` does it
        return
    if lost:
        log.info("tasks_left_ended", count=lost)


def _stamp(headers: dict[str, Any], **_kwargs: object) -> None:
    """Let a message say who asked for it, and when it was sent."""
    headers.setdefault(SENT_AT, time.time())
    if request_id := trace.request_id():
        headers.setdefault(REQUEST_ID, request_id)


def _begin(task_id: str, task: Any, **_kwargs: object) -> None:  # noqa: ANN401 - celery's task
    global _run  # noqa: PLW0603 - a child of the pool is at one task at a time
    asked = task.request
    _run = _Run(task_id, task.name, task.queue, asked.get(RETRY_OF), asked.get(REQUEST_ID))
    clear_contextvars()
    bind_contextvars(task=task.name, task_id=task_id)
    # Who rang is not who the work is for: one run does what many have asked for.
    if _run.request_id:
        bind_contextvars(rung_by=_run.request_id)
    in_hand.listen(_take_up)


def _take_up(things: Sequence[Thing]) -> None:
    """Write down what is taken up before it is done: a killed process leaves its rows behind."""
    if _run is None:
        return
    # One thing at a time is done for the one who asked for it; of many, each row knows its own.
    unbind_contextvars("request_id")
    if len(things) == 1 and things[0].request_id:
        bind_contextvars(request_id=things[0].request_id)
    first = len(_run.things) + 1
    _run.things.extend(things)
    numbers = range(first, len(_run.things) + 1)
    deps.journal().write(*(_run.outcome(TaskState.RUNNING, n) for n in numbers))
    if _run.hold is None:
        _run.hold = Hold(deps.database().sessions, _run.token)


def _succeed(**_kwargs: object) -> None:
    if _run is None:
        return
    counters.count(_run.name, Ending.DONE, took_s=_run.took_s)
    outcomes = [
        _run.outcome(_state(thing), n, error=_clean(thing.error))
        if thing.has_ended
        else _run.outcome(TaskState.RUNNING, n, put_down=True)  # it is taken up again
        for n, thing in enumerate(_run.things, start=1)
    ]
    if _run.retry_of is not None:
        outcomes.append(_run.outcome(TaskState.DONE, retry_of=_run.retry_of))
    deps.journal().write(*outcomes)


def _fail(
    sender: Any,  # noqa: ANN401 - celery's task
    task_id: str,
    exception: BaseException,
    einfo: Any = None,  # noqa: ANN401 - celery's text of the traceback
    **_kwargs: object,
) -> None:
    told: dict[str, Any] = {
        "error": _clean(f"{type(exception).__name__}: {exception}"),
        "traceback": _clean(str(getattr(einfo, "traceback", "") or "")),
        "same_as": f"{sender.name}:{type(exception).__name__}:{_place(exception.__traceback__)}",
    }
    if _run is None or _run.task_id != task_id:
        # The parent tells of a child that was killed, which could tell nothing itself.
        counters.count(sender.name, Ending.KILLED)
        told |= {"worker": _worker, "state": TaskState.FAILED}
        deps.journal().write_lost(Outcome(task_id, token_hex(8), sender.name, sender.queue, **told))
        return
    counters.count(_run.name, Ending.FAILED, took_s=_run.took_s)
    if not _run.things:
        failed = _run.outcome(TaskState.FAILED, retry_of=_run.retry_of, **told)
        deps.journal().write(failed)
        return
    del told["same_as"]
    deps.journal().write(
        *(
            _run.outcome(TaskState.DONE, n)
            if thing.has_ended and not thing.error
            else _run.outcome(TaskState.FAILED, n, **told)
            for n, thing in enumerate(_run.things, start=1)
        )
    )


def _end(**_kwargs: object) -> None:
    global _run  # noqa: PLW0603 - as above
    if _run is not None and _run.hold is not None:
        _run.hold.let_go()
    _run = None
    in_hand.listen(None)
    clear_contextvars()
    deps.journal().flush()


def _state(thing: Thing) -> TaskState:
    return TaskState.FAILED if thing.error else TaskState.DONE


def _clean(text: str | None) -> str | None:
    return redact(text, secrets_of(deps.settings())) if text else None


def _place(traceback: TracebackType | None) -> str:
    """Name the line that raised, shortly: the same failure is told by where it happens."""
    frames = extract_tb(traceback)
    if not frames:
        return "-"
    return f"{zlib.crc32(f'{frames[-1].filename}:{frames[-1].lineno}'.encode()):08x}"
