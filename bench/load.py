"""A small HTTP load: so many connections, each asking again as soon as it has its answer.

Run as a process of its own, so that it does not take part in what it measures.
"""

import asyncio
import subprocess
import sys
import time
from typing import cast

import uvloop

from tests.support.processes import PYTHON, ROOT


class _Client(asyncio.Protocol):
    """One connection; counts whole answers of success."""

    def __init__(self, request: bytes, ends_at: float) -> None:
        self.answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._ends_at = ends_at
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do, without being of their class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 20"):
            self.done.set_exception(RuntimeError(head.decode()))
            self._transport.close()
            return
        self._buffer = b""
        self.answers += 1
        if time.perf_counter() < self._ends_at:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if not self.done.done():
            self.done.set_result(None)


def load(
    port: int, path: str, connections: int, seconds: float, *, body: bytes = b"", token: str = ""
) -> float:
    """Load one path of a server on this machine, with POST if there is a body.

    Returns answers a second.
    """
    head = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    done = subprocess.run(
        [PYTHON, "-m", "bench.load", str(port), str(connections), str(seconds)],
        input="\r\n".join([*head, "", ""]).encode() + body,
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=seconds + 30,
    )
    return float(done.stdout)


async def _measure(port: int, request: bytes, *, connections: int, seconds: float) -> float:
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (
            await loop.create_connection(
                lambda: _Client(request, begun + seconds), "127.0.0.1", port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return sum(client.answers for client in clients) / (time.perf_counter() - begun)


if __name__ == "__main__":
    port, connections, seconds = sys.argv[1:]
    request = sys.stdin.buffer.read()
    rate = uvloop.run(
        _measure(int(port), request, connections=int(connections), seconds=float(seconds))
    )
    sys.stdout.write(f"{rate}\n")
