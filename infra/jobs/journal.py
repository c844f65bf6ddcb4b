"""Writes the history of tasks without ever standing in the way of the work."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from infra.db import Sessions, transact
from infra.jobs import left_behind, tasks
from infra.jobs.tasks import Outcome
from infra.logs import log

_KEPT_UNWRITTEN = 200
_TRY_AGAIN_AFTER_S = 5.0


class Journal:
    """Writes rows as they come; what cannot be written waits here, the newest two hundred of it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._unwritten: deque[Callable[[Session], object]] = deque(maxlen=_KEPT_UNWRITTEN)
        self._not_before = 0.0

    def write(self, *outcomes: Outcome) -> None:
        """Write what became of tasks, in one transaction; never raises."""
        if outcomes:
            self._unwritten.append(lambda session: _record_all(session, outcomes))
            self.flush()

    def write_lost(self, outcome: Outcome) -> None:
        """Write that a task's process was killed: what it had in hand fails, or the task itself."""

        def lose(session: Session) -> None:
            text = outcome.error or ""
            if left_behind.lose(session, task_id=outcome.task_id, error=text):
                return
            # A child that is killed may be told of twice: as lost, and as out of time.
            if not left_behind.is_known_failed(session, outcome.task_id):
                tasks.record(session, outcome)

        self._unwritten.append(lose)
        self.flush()

    def flush(self) -> None:
        """Write what waits, unless it has just failed."""
        if not self._unwritten or time.monotonic() < self._not_before:
            return
        try:
            while self._unwritten:
                transact(self._sessions, self._unwritten[0])
                self._unwritten.popleft()
        except Exception as error:  # noqa: BLE001 - whatever it is, the work goes on
            self._not_before = time.monotonic() + _TRY_AGAIN_AFTER_S
            log.warning(
                "task_history_not_written",
                waiting=len(self._unwritten),
                error=type(error).__name__,
            )


def _record_all(session: Session, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        tasks.record(session, outcome)
