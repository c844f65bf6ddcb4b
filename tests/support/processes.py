"""Real child processes for tests: started, waited for, stopped by their pid, never left behind."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Protocol, TypeVar

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable

# Below the kernel's ephemeral range: no outgoing connection can sit on a port that a test
# has picked, also not between a server's kill and its restart. And below the ports that a whole
# run picks for itself (`cli/ports`).
_PORTS = range(10_240, 20_000)
_PORTS_AT_ONCE = 244
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE")
_TAIL_CHARS = 8_000
# A busy machine lets a killed process wait for its end too.
_KILLED_WITHIN_S = 60

T = TypeVar("T")


def eventually(
    check: Callable[[], T],
    timeout_s: float = 60.0,
    *,
    what: str = "",
    interval_s: float = 0.02,
    tolerate: tuple[type[Exception], ...] = (),
) -> T:
    """Call `check` until it answers something true, and return that answer.

    Errors named in `tolerate` count as "not yet".

    Raises:
        AssertionError: nothing true came in `timeout_s`; the text holds the last answer.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last: object
        try:
            answer = check()
            if answer:
                return answer
            last = answer
        except tolerate as error:
            last = error
        if time.monotonic() >= deadline:
            name = what or getattr(check, "__qualname__", "the condition")
            raise AssertionError(f"not within {timeout_s:g} s: {name}; last answer: {last!r}")
        time.sleep(interval_s)


def free_port() -> int:
    """Pick a port of 127.0.0.1 that nobody listens on, and that is given to no other test.

    Nobody has it before it is used, nor while its server is away: until this process ends, no other
    test process of this machine picks it, and this one does not pick it twice.
    """
    return _ports().take()


class _Ports:
    """Takes ports in blocks; whoever holds a block has bound a name, which the kernel frees."""

    def __init__(self) -> None:
        self._left: list[int] = []
        self._signs: list[socket.socket] = []

    def take(self) -> int:
        while True:
            if not self._left:
                self._left = self._take_block()
            port = self._left.pop()
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port

    def _take_block(self) -> list[int]:
        blocks = range(_PORTS.start, _PORTS.stop, _PORTS_AT_ONCE)
        for first in random.SystemRandom().sample(blocks, len(blocks)):
            # A name that is no file, and known to the same processes as the ports are.
            sign = socket.socket(socket.AF_UNIX)
            try:
                sign.bind(f"\0tradepost-tests-ports-{first}")
            except OSError:
                sign.close()
                continue
            self._signs.append(sign)
            return list(range(first, first + _PORTS_AT_ONCE))
        raise RuntimeError("all blocks of ports are taken by tests")


@cache
def _ports() -> _Ports:
    return _Ports()


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(10)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make a child's environment: a few system variables and `extra`, no setting of a developer's.

    Children find no `.env` file either.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PYTHONUNBUFFERED": "1", "ENV_FILE": "", **(extra or {})}


def descendants(pid: int) -> list[int]:
    """List the pids of all living descendants of a process, nearest first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended while we looked
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(children.get(pid, []))
    for child in found:
        found.extend(children.get(child, []))
    return found


class Process(Protocol):
    """What a test needs of a process: the part of `subprocess.Popen` that is used here."""

    @property
    def pid(self) -> int:
        """The process id."""

    def poll(self) -> int | None:
        """Give the exit code; None while it runs."""

    def wait(self, timeout: float) -> int:
        """Wait for the end and give the exit code."""

    def send_signal(self, number: int, /) -> None:
        """Send a signal."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Child:
    """A process of a test's own, in a session of its own, whose output goes to a file."""

    def __init__(self, name: str, popen: Process, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._popen = popen
        self._shown = 0

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def is_running(self) -> bool:
        """Tell whether the process has not ended."""
        return self._popen.poll() is None

    def log(self) -> str:
        """Read everything the process has written."""
        return self.log_path.read_text(errors="replace")

    def unseen_log(self) -> str:
        """Read what the process has written since `mark_log_seen`, its end if that is long."""
        with self.log_path.open("rb") as file:
            file.seek(self._shown)
            return file.read().decode(errors="replace")[-_TAIL_CHARS:]

    def mark_log_seen(self) -> None:
        """Leave what was written so far out of the next failure's report."""
        self._shown = self.log_path.stat().st_size

    def wait_until(self, ready: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Wait for a sign of readiness; fail at once, with the log, when the process ends first."""

        def ready_or_dead() -> bool:
            return bool(ready()) or not self.is_running

        try:
            eventually(ready_or_dead, timeout_s, what=f"{self.name} ready", tolerate=(OSError,))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._last_lines()}") from None
        if not self.is_running:
            raise AssertionError(f"{self.name} ended with {self.exit_code}\n{self._last_lines()}")

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for the end and return the exit code."""
        return self._popen.wait(timeout_s)

    def send(self, signal_number: int) -> None:
        """Send a signal to the process alone, not to its children."""
        self._popen.send_signal(signal_number)

    def stop(self, timeout_s: float = 60.0) -> int:
        """Ask it to end (SIGTERM); kill it with its children when it does not in time."""
        if self.is_running:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout_s)
        self.kill_hard()
        return self._popen.wait(_KILLED_WITHIN_S)

    def kill(self) -> None:
        """Kill the process alone with SIGKILL; its children live on until they notice."""
        self._popen.kill()
        self._popen.wait(_KILLED_WITHIN_S)

    def kill_hard(self) -> None:
        """Kill the process and all its descendants with SIGKILL."""
        family = descendants(self.pid) if self.is_running else []
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._popen.wait(_KILLED_WITHIN_S)

    def children(self) -> list[int]:
        """List the pids of its living descendants."""
        return descendants(self.pid)

    def pause(self) -> None:
        """Stop it and its descendants with SIGSTOP: they keep what they hold and do nothing."""
        for pid in (self.pid, *self.children()):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process and its descendants go on."""
        for pid in (*self.children(), self.pid):
            os.kill(pid, signal.SIGCONT)

    def _last_lines(self) -> str:
        return "\n".join(self.log().splitlines()[-5:])


class Nursery:
    """Starts children, keeps their logs in one folder, and ends them all."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: list[Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> Child:
        """Start a program with a clean environment; it dies with the test process.

        Call it from the main thread only: the parent-death signal follows the thread.
        """
        return self.start_by(
            lambda log: subprocess.Popen(
                [*dies_with_parent(), *(str(part) for part in command)],
                cwd=cwd,
                env=clean_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ),
            name,
        )

    def start_by(self, begin: Callable[[IO[bytes]], Process], name: str) -> Child:
        """Start a process in another way, and keep what it writes into the file given to it."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        log_path = self._log_dir / f"{name}-{len(self._children)}.log"
        with log_path.open("wb") as log:
            child = Child(name, begin(log), log_path)
        self._children.append(child)
        return child

    def mark_logs_seen(self) -> None:
        """Leave all output so far out of the next failure's report."""
        for child in self._children:
            child.mark_log_seen()

    def unseen_logs(self) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for each child that wrote something since `mark_logs_seen`."""
        for child in self._children:
            text = child.unseen_log()
            if text.strip():
                yield f"{child.name} (pid {child.pid})", text

    @contextmanager
    def group(self) -> Iterator[None]:
        """End, newest first, whatever was started inside and still runs.

        At once: how programs stop when they are asked to is for the tests that ask.
        """
        already = len(self._children)
        try:
            yield
        finally:
            self._end(self._children[already:])

    def end_all(self) -> None:
        """End every child, newest first."""
        self._end(self._children)

    def _end(self, children: Sequence[Child]) -> None:
        for child in reversed(children):
            if child.is_running:
                child.kill_hard()


def dies_with_parent() -> list[str]:
    """Give the words before a command that end it with this process, where the system has them."""
    # setpriv sets the parent-death signal and execs: unlike a preexec_fn it is safe beside threads.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
