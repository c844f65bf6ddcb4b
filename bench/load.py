"""A small HTTP load: so many connections, each asking again as soon as it has its answer.

Run as a process of its own, so that it does not take part in what it measures:
`python -m bench.load PORT PATH CONNECTIONS SECONDS` prints answers a second.
"""

import asyncio
import sys
import time
from typing import cast

import uvloop


class _Client(asyncio.Protocol):
    """One connection; counts whole answers that begin with 200."""

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
        if not head.startswith(b"HTTP/1.1 200"):
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


async def measure(port: int, path: str, *, connections: int, seconds: float) -> float:
    """Load one path of a server on this machine; return answers a second."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
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
    port, path, connections, seconds = sys.argv[1:]
    rate = uvloop.run(
        measure(int(port), path, connections=int(connections), seconds=float(seconds))
    )
    sys.stdout.write(f"{rate}\n")
