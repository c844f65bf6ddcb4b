"""One running program: in a session of its own, logging to a file, ended with the supervisor."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from infra.process import die_with_parent

_LOG_LIMIT_BYTES = 5_000_000
_TAIL_BYTES = 16_384


class Child:
    """A started program.

    Its own session keeps the terminal's Ctrl-C away from it: the supervisor decides what stops
    when. The session is also what is killed, so that no grandchild outlives it.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> None:
        self._log = log
        with _open_log(log) as output:
            self._log_start = output.tell()
            self._process = _spawn(command, env=env, cwd=cwd, output=output.fileno())
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """Tell how the program ended, negative for a signal; None while it runs.

        What it started and left behind is killed on the way. Its number stays taken as long as
        one process of its group lives, so that no stranger is hit.
        """
        if self._process.returncode is None and self._process.poll() is not None:
            self.kill()
        return self._process.returncode

    def terminate(self) -> None:
        """Ask the program itself, and none of its children, to end in good order.

        A Celery worker lets its children finish the task in hand; they must not be told.
        """
        self._process.terminate()

    def kill(self) -> None:
        """End the program and everything in its group at once."""
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a zombie's group
            os.killpg(self.pid, signal.SIGKILL)

    def limit_log(self) -> None:
        """Put a long log away as `….log.1` and begin anew, at most doubling what is kept.

        The program goes on writing into the same open file, so it is copied and emptied; a line
        written in between is lost.
        """
        with suppress(OSError):  # neither a full disk nor a file removed by hand ends the run
            if self._log.stat().st_size > _LOG_LIMIT_BYTES:
                shutil.copyfile(self._log, self._log.with_name(f"{self._log.name}.1"))
                os.truncate(self._log, 0)
                self._log_start = 0

    def last_lines(self, count: int) -> tuple[str, ...]:
        """Give the end of what this process has logged."""
        if not self._log.exists():
            return ()
        with self._log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return tuple(line for line in lines if line.strip())[-count:]


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _spawn(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: int
) -> subprocess.Popen[bytes]:
    # Between fork and exec only a process without threads may run Python, and the death signal
    # follows the thread that forks. The supervisor therefore has one thread, in a plain loop.
    if threading.active_count() != 1:
        msg = "children are started from a process with one thread only"
        raise RuntimeError(msg)
    parent_pid = os.getpid()
    return subprocess.Popen(  # noqa: S603 - our own commands, no shell
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(parent_pid),  # noqa: PLW1509 - one thread, see above
    )
