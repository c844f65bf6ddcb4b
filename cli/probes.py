"""Questions that tell whether a program is ready, and whether it still works."""

import http.client
import socket
import time
from abc import ABC, abstractmethod
from pathlib import Path
from urllib.parse import urlsplit

_ANSWER_WITHIN_S = 1.0
HEARTBEAT_STALE_S = 60.0


class Probe(ABC):
    """How one program shows its state; asked often, so each answer must come at once."""

    def begin(self) -> None:  # noqa: B027 - most have nothing to do
        """Forget what an earlier process left behind."""

    @abstractmethod
    def ready(self) -> bool:
        """Tell whether the program can do its work."""

    def alive(self) -> bool:
        """Tell whether the program still shows signs of life, where it gives any unasked."""
        return True


class HttpProbe(Probe):
    """Ready as soon as a GET of every URL is answered with one of the statuses."""

    def __init__(self, *urls: str, statuses: frozenset[int] = frozenset({200})) -> None:
        self._urls = urls
        self._statuses = statuses

    def ready(self) -> bool:
        """Ask, straight at the address, whatever proxy the environment names."""
        return all(_status(url) in self._statuses for url in self._urls)


class RedisProbe(Probe):
    """Ready as soon as PING is answered on a loopback port, which is after the data are loaded."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ready(self) -> bool:
        """Send one inline PING."""
        try:
            address = ("127.0.0.1", self._port)
            with socket.create_connection(address, timeout=_ANSWER_WITHIN_S) as link:
                link.sendall(b"PING\r\n")
                return link.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class HeartbeatProbe(Probe):
    """Ready when the program has touched its file, alive while it goes on touching it."""

    def __init__(self, file: Path, *, stale_s: float = HEARTBEAT_STALE_S) -> None:
        self._file = file
        self._stale_s = stale_s
        self.begin()

    def begin(self) -> None:
        """Remove the file, and give the program the full time for a first sign of life."""
        self._file.unlink(missing_ok=True)
        self._touched_ns = 0
        self._seen_at = time.monotonic()

    def ready(self) -> bool:
        """Tell whether the file is there."""
        return self._file.exists()

    def alive(self) -> bool:
        """Compare with the last look, by a clock that stands still while the machine sleeps.

        The age by the file's own time would condemn every worker after a laptop's night.
        """
        touched_ns = self._file.stat().st_mtime_ns if self._file.exists() else 0
        if touched_ns != self._touched_ns:
            self._touched_ns = touched_ns
            self._seen_at = time.monotonic()
        return time.monotonic() - self._seen_at < self._stale_s


def _status(url: str) -> int:
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.netloc, timeout=_ANSWER_WITHIN_S)
    try:
        link.request("GET", parts.path or "/")
        return link.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        link.close()
