"""A server that answers everything with what a test has put into it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_POLL_S = 0.01


@dataclass(frozen=True)
class _Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drips_every_s: float | None = None


class CannedServer(ThreadingHTTPServer):
    """Answers every request on a free port of 127.0.0.1 alike."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.canned = _Answer()
        self.leaving = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_S,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The server's base URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, status: int, body: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer so from now on."""
        self.canned = _Answer(status, body, headers or {})

    def drip(self, *, every_s: float) -> None:
        """Answer with a byte now and then, for ever."""
        self.canned = _Answer(drips_every_s=every_s)

    def close(self) -> None:
        """Stop answering."""
        self.leaving.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: CannedServer

    def do_GET(self) -> None:
        self._serve(self.server.canned)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._serve(self.server.canned)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _serve(self, canned: _Answer) -> None:
        self.send_response(canned.status)
        for name, value in canned.headers.items():
            self.send_header(name, value)
        if canned.drips_every_s is None:
            self.send_header("Content-Length", str(len(canned.body)))
        self.end_headers()
        self.wfile.write(canned.body)
        while canned.drips_every_s and not self.server.leaving.wait(canned.drips_every_s):
            self.wfile.write(b" ")
