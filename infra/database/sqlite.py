"""SQLite as the embedded database: one writer at a time, and nobody waits by luck.

SQLite lets waiting writers poll, with pauses of up to 100 ms, and whoever asks at the right moment
wins; under load some waited for seconds. The threads of one process queue here instead, so that
each process sends one writer at a time into that contest.
"""

import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import OperationalError

# First for the turn in this process, then for the file: ten seconds in all, longer than for a row.
LOCK_WAIT_S = 5
_HOLDS_TURN = "holds_writers_turn"


def open_sqlite(url: str) -> Engine:
    """Open an SQLite file, made if missing, for many threads and processes."""
    path = make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        connect_args={"timeout": LOCK_WAIT_S, "check_same_thread": False},
        pool_size=50,
        max_overflow=0,
    )
    queue = _WritersQueue()
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", queue.begin)
    event.listen(engine, "commit", queue.leave)
    event.listen(engine, "rollback", queue.leave)
    return engine


class _WritersQueue:
    """Lets one thread of this process write at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def begin(self, connection: Connection) -> None:
        """Begin a transaction; one that may write takes its turn first."""
        if connection.get_execution_options().get("readonly", False):
            connection.exec_driver_sql("BEGIN")
            return
        # Without a turn in time, SQLite's own lock decides, and says so if it is not to be had.
        connection.info[_HOLDS_TURN] = self._turn.acquire(timeout=LOCK_WAIT_S)
        try:
            # A deferred BEGIN that writes later fails at once if another came first; this waits.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError:
            self.leave(connection)
            raise

    def leave(self, connection: Connection) -> None:
        """Give the turn to the next."""
        if connection.info.pop(_HOLDS_TURN, False):
            self._turn.release()


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
    connection.isolation_level = None  # the driver's own BEGIN would come too late, and deferred
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
