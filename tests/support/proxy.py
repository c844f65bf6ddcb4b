"""A TCP proxy that stands in front of a server and breaks the link on demand."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.support.processes import free_port

T = TypeVar("T")

_CHUNK_BYTES = 65_536
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST


class Way(Enum):
    """The two directions of a link."""

    TO_SERVER = auto()
    TO_CLIENT = auto()


class Proxy:
    """Listens on a free port of 127.0.0.1 and hands every connection through to `upstream_port`.

    A change of mode holds from the call's return on, for open connections too, and replaces the
    mode before. Its methods may be called from any thread. Use it as a context manager.
    """

    def __init__(self, upstream_port: int) -> None:
        self.port = free_port()
        self.accepted = 0
        self._upstream_port = upstream_port
        self._latency_s = 0.0
        self._resets = False
        self._cut: _CutAfter | _CutAt | None = None
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        # One thread owns every socket, so that a reset is sent at once and no mode change races.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.heal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def url(self, upstream_url: str) -> str:
        """Point a URL of the server at the proxy instead."""
        parts = urlsplit(upstream_url)
        login, at, _host = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    def heal(self) -> None:
        """Hand everything through again, also what a black hole has held back."""
        self._run(self._change())

    def delay(self, latency_s: float) -> None:
        """Hold every chunk back for a while, in both directions."""
        self._run(self._change(latency_s=latency_s))

    def blackhole(self) -> None:
        """Accept everything and let nothing through and nothing close, until `heal`.

        Like a network that lost its way: what was sent meanwhile arrives late.
        """
        self._run(self._change(flowing=False))

    def reset(self) -> None:
        """Reset open connections now, and new ones as soon as they are accepted."""
        self._run(self._change(resets=True))
        self.drop_connections()

    def refuse(self) -> None:
        """Reset open connections and stop listening: a new one is refused."""
        self._run(self._change(listening=False))
        self.drop_connections()

    def cut_after(self, size_bytes: int, *, way: Way = Way.TO_CLIENT) -> None:
        """Reset, once, the connection on which that many more bytes have gone one way.

        The count runs over all connections. Zero bytes to the client: a request arrives in full,
        the server acts on it, and its answer is lost.
        """
        self._run(self._change(cut=_CutAfter(way, size_bytes)))

    def cut_at(self, pattern: bytes) -> None:
        """Reset, once, the connection whose client sends `pattern`, when the server answers.

        The server has acted and the client does not know: `cut_at(b"COMMIT")`.
        """
        self._run(self._change(cut=_CutAt(pattern)))

    def drop_connections(self) -> int:
        """Reset the connections that are open now; return how many there were."""
        return self._run(self._drop())

    def close(self) -> None:
        """Reset every connection and stop for good."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _change(
        self,
        *,
        flowing: bool = True,
        listening: bool = True,
        resets: bool = False,
        latency_s: float = 0.0,
        cut: "_CutAfter | _CutAt | None" = None,
    ) -> None:
        self._latency_s, self._resets, self._cut = latency_s, resets, cut
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()
        if listening and self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port, backlog=512
            )
        elif not listening and self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _drop(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        return len(pairs)

    async def _end(self) -> None:
        await self._change(listening=False)
        await self._drop()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        if self._resets:
            _abort(writer)
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            _abort(writer)
            return
        pair = _Pair(client=writer, server=upstream[1])
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(pair, Way.TO_SERVER, reader, upstream[1]),
                self._pump(pair, Way.TO_CLIENT, upstream[0], writer),
            )
        finally:
            self._pairs.discard(pair)
            writer.close()
            upstream[1].close()

    async def _pump(
        self,
        pair: "_Pair",
        way: Way,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
    ) -> None:
        try:
            while chunk := await source.read(_CHUNK_BYTES):
                await self._flowing.wait()
                if self._latency_s:
                    await asyncio.sleep(self._latency_s)
                verdict = self._judge(pair, way, chunk)
                target.write(verdict.passing)
                await target.drain()
                if verdict.ends:
                    pair.reset()
                    return
            await self._flowing.wait()
            target.write_eof()
        except OSError:
            pair.reset()

    def _judge(self, pair: "_Pair", way: Way, chunk: bytes) -> "_Verdict":
        if pair.loses_answer and way is Way.TO_CLIENT:
            return _Verdict(b"", ends=True)
        cut = self._cut
        if isinstance(cut, _CutAt) and way is Way.TO_SERVER and cut.pattern in chunk:
            pair.loses_answer = True
            self._cut = None
        elif isinstance(cut, _CutAfter) and way is cut.way:
            passing = chunk[: cut.left_bytes]
            cut.left_bytes -= len(passing)
            if cut.left_bytes == 0:
                self._cut = None
                return _Verdict(passing, ends=True)
        return _Verdict(chunk, ends=False)


@dataclass(frozen=True)
class _Verdict:
    passing: bytes
    ends: bool


@dataclass
class _CutAfter:
    way: Way
    left_bytes: int


@dataclass(frozen=True)
class _CutAt:
    pattern: bytes


@dataclass(eq=False)
class _Pair:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    loses_answer: bool = False

    def reset(self) -> None:
        _abort(self.client)
        _abort(self.server)


def _abort(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    writer.transport.abort()
