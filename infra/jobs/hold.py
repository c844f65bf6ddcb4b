"""Says from beside a run that it still has in hand what it took up."""

import threading

from infra.db import Sessions, transact
from infra.jobs import left_behind
from infra.logs import log

EVERY_S = 10.0


class Hold:
    """A thread that speaks up for a run until it is let go; it never stands in the work's way.

    A process that is killed speaks no more, and what it had in hand is ended by others.
    """

    def __init__(self, sessions: Sessions, run: str, *, every_s: float = EVERY_S) -> None:
        self._sessions = sessions
        self._run = run
        self._every_s = every_s
        self._over = threading.Event()
        threading.Thread(target=self._speak_up, name="hold", daemon=True).start()

    def let_go(self) -> None:
        """Say nothing more."""
        self._over.set()

    def _speak_up(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                transact(self._sessions, lambda session: left_behind.keep(session, self._run))
            except Exception as error:  # noqa: BLE001 - whatever it is, the next time may do
                log.warning("hold_not_kept", error=type(error).__name__)
