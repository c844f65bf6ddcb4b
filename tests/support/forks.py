"""Python programs, each a process of its own, forked from one that has made their imports.

To import what the API or a worker needs takes one to three seconds, which the suite would spend
some hundred times; to fork takes milliseconds. Arguments, environment, folder, streams and session
are the program's own, and it runs as `python -m` runs it, from its first line to its last.
"""

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

from tests.support.processes import PYTHON, ROOT, clean_environment, dies_with_parent

_LONGEST_WISH = 100_000
# The child leaves the loop and goes on as a fresh interpreter would.
_SERVER = f"""
import gc, importlib, json, os, runpy, socket, sys
from infra.process import die_with_parent

link = socket.socket(fileno=int(sys.argv[1]))
for name in sys.argv[2:]:
    importlib.import_module(name)
gc.freeze()
own_pid = os.getpid()
while True:
    said, streams, _, _ = socket.recv_fds(link, {_LONGEST_WISH}, 3)
    if not said:
        sys.exit()
    wish = json.loads(said)
    if ended := wish.get("ended"):
        pid, status = os.waitpid(ended, os.WNOHANG)
        link.send(str(os.waitstatus_to_exitcode(status)).encode() if pid else b"runs")
    elif os.fork():
        for stream in streams:
            os.close(stream)
    else:
        break
os.setsid()
die_with_parent(own_pid)
link.send(str(os.getpid()).encode())
link.close()
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
os.chdir(wish["cwd"])
os.environ.clear()
os.environ.update(wish["env"])
sys.argv = wish["words"]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@cache
def forks_of(*imports: str) -> "Forks":
    """Give what forks programs with these modules imported; it ends with this process."""
    return Forks(*imports)


class Forked:
    """A process that was forked, with the part of `Popen` that tests need."""

    def __init__(self, forks: "Forks", pid: int) -> None:
        self.pid = pid
        self._forks = forks
        self._fd = os.pidfd_open(pid)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Give the exit code, negative for a signal; None while it runs."""
        if self._code is None:
            self._code = self._forks.code_of(self.pid)
            if self._code is not None:
                os.close(self._fd)
        return self._code

    def wait(self, timeout: float) -> int:
        """Wait for the end and give the exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        if self._code is None:
            ends = select.poll()
            ends.register(self._fd, select.POLLIN)
            ends.poll(timeout * 1000)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """Runs Python modules as `python -m` does, with some of their imports already made.

    From the main thread only: what it starts is asked for one at a time.
    """

    def __init__(self, *imports: str) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [PYTHON, "-c", _SERVER, str(theirs.fileno()), *imports]
            self._server = subprocess.Popen(
                [*dies_with_parent(), *command],
                cwd=ROOT,
                env=clean_environment({"PYTHONPATH": str(ROOT)}),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(
        self,
        *words: str,
        env: Mapping[str, str],
        cwd: Path = ROOT,
        given: IO[bytes] | None = None,
        out: IO[bytes],
        err: IO[bytes],
    ) -> Forked:
        """Start a module with arguments; without `given` it finds nothing to read."""
        wish = json.dumps({"words": words, "cwd": str(cwd), "env": clean_environment(env)})
        assert len(wish) < _LONGEST_WISH
        with Path(os.devnull).open("rb") as nothing:
            streams = [(given or nothing).fileno(), out.fileno(), err.fileno()]
            socket.send_fds(self._link, [wish.encode()], streams)
            return Forked(self, int(self._answer()))

    def run(
        self,
        *words: str,
        env: Mapping[str, str],
        typed: str = "",
        cwd: Path = ROOT,
        timeout_s: float = 60,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a module with arguments and wait for its end."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(typed.encode())
            given.seek(0)
            process = self.start(*words, env=env, cwd=cwd, given=given, out=out, err=err)
            code = process.wait(timeout_s)
            return subprocess.CompletedProcess(words, code, _told(out), _told(err))

    def code_of(self, pid: int) -> int | None:
        """Give the exit code of a process started here; None while it runs."""
        self._link.send(json.dumps({"ended": pid}).encode())
        answer = self._answer()
        return None if answer == b"runs" else int(answer)

    def _answer(self) -> bytes:
        self._link.settimeout(60)  # it makes its imports first
        answer = self._link.recv(_LONGEST_WISH)
        assert answer, "what forks processes has ended"
        return answer


def _told(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()
