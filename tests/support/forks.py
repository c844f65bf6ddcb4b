"""Short programs, each in a process of its own, forked from one that has imported what they need.

To import what a command needs takes a second, which the suite would spend a hundred times; to fork
takes some milliseconds. What counts is the program's own: environment, arguments, folder, streams.
"""

import json
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support.processes import PYTHON, ROOT, clean_environment, dies_with_parent

_LONGEST_WISH = 65_536
# The child leaves the loop and runs its program as the interpreter would, to the same end.
_SERVER = """
import gc, importlib, json, os, runpy, socket, sys

link = socket.socket(fileno=int(sys.argv[1]))
for name in sys.argv[2:]:
    importlib.import_module(name)
gc.freeze()
while True:
    said, streams, _, _ = socket.recv_fds(link, 65536, 3)
    if not said:
        sys.exit()
    if not (pid := os.fork()):
        break
    for stream in streams:
        os.close(stream)
    link.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\\n".encode())
link.close()
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
wish = json.loads(said)
os.chdir(wish["cwd"])
os.environ.clear()
os.environ.update(wish["env"])
module, *arguments = wish["words"]
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


class Forks:
    """Runs Python modules as `python -m` does, with some of their imports already made."""

    def __init__(self, *imports: str) -> None:
        self._link, theirs = socket.socketpair()
        with theirs:
            command = [PYTHON, "-c", _SERVER, str(theirs.fileno()), *imports]
            self._server = subprocess.Popen(
                [*dies_with_parent(), *command],
                cwd=ROOT,
                env=clean_environment({"PYTHONPATH": str(ROOT)}),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

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
            wish = {"words": words, "cwd": str(cwd), "env": clean_environment(env)}
            said = json.dumps(wish).encode()
            assert len(said) < _LONGEST_WISH
            self._link.settimeout(timeout_s)
            socket.send_fds(self._link, [said], [it.fileno() for it in (given, out, err)])
            code = int(self._link.recv(16))
            return subprocess.CompletedProcess(words, code, _told(out), _told(err))

    def end(self) -> None:
        """End the process that the others are forked from."""
        self._link.close()
        self._server.kill()
        self._server.wait()


def _told(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()
