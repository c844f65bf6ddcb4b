"""What private servers of every kind have in common: tests may kill, freeze and restart them."""

import signal
from abc import ABC, abstractmethod
from pathlib import Path

from tests.support.processes import Child, Nursery, free_port


class Server(ABC):
    """A server process that keeps its port and its data over a kill and a restart."""

    name = "server"

    def __init__(self, nursery: Nursery, data_dir: Path) -> None:
        self.port = free_port()
        self.data_dir = data_dir
        self._nursery = nursery
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Tell whether the process lives (it may be paused)."""
        return self._child is not None and self._child.is_running

    def start(self) -> None:
        """Start the server and wait until it answers; nothing happens when it runs."""
        if self.is_running:
            return
        self._child = self._nursery.start(self.name, self._command(), cwd=self.data_dir)
        self._child.wait_until(self._answers)

    def stop(self) -> None:
        """Stop the server as an operator would, with SIGTERM."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._running().kill_hard()

    def restart(self) -> None:
        """Start the server again on the same port and data, after a stop or a kill."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: connections stay open and nothing answers."""
        self._running().send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._running().send(signal.SIGCONT)

    def revive(self) -> None:
        """Bring the server back to its normal state, whatever a test has done to it."""
        if self.is_running:
            self.thaw()
        self.start()

    def _running(self) -> Child:
        assert self._child is not None, f"{self.name} was never started"
        return self._child

    @abstractmethod
    def _command(self) -> list[str | Path]: ...

    @abstractmethod
    def _answers(self) -> bool: ...
