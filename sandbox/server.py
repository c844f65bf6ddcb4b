"""Run stand-ins side by side: one process, one event loop, a port for each."""

import asyncio
import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from sandbox.standin import StandIn

# Longer than any client keeps an idle connection, so that it is never the server that closes one
# just when a request is on its way: a lost charge request would look like a fault nobody asked for.
KEEP_ALIVE_S = 75
GRACE_S = 1
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Place:
    """Where one stand-in listens, and how it is built once the event loop runs."""

    name: str
    host: str
    port: int
    build: Callable[[], StandIn]


class PortTaken(Exception):
    """A stand-in cannot listen where it was told to."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(
            f"The {place.name} stand-in cannot listen on {place.host}:{place.port}: {reason}."
            f" Choose another with --{place.name}-port."
        )


def run(places: Sequence[Place]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        PortTaken: before anything is served.
    """
    sockets = [_listen(place) for place in places]
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_serve_all(places, sockets))


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process and says when it is ready."""

    def __init__(self, place: Place, standin: StandIn) -> None:
        config = uvicorn.Config(
            standin,
            lifespan="off",
            ws="websockets-sansio",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
            server_header=False,
        )
        super().__init__(config)
        self._place = place

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: three servers share one process, which has its own handler."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen and say so in one line."""
        await super().startup(sockets=sockets)
        place = self._place
        sys.stdout.write(f"{place.name} ready on http://{place.host}:{place.port}\n")
        sys.stdout.flush()


async def _serve_all(places: Sequence[Place], sockets: Sequence[socket.socket]) -> None:
    standins = [place.build() for place in places]
    servers = [_Server(place, it) for place, it in zip(places, standins, strict=True)]

    def stop() -> None:
        for standin in standins:
            standin.stop()
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = (server.serve([sock]) for server, sock in zip(servers, sockets, strict=True))
    try:
        await asyncio.gather(*serving)
    finally:
        for standin in standins:
            await standin.close()


def _listen(place: Place) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((place.host, place.port))
    except OSError as error:
        sock.close()
        reason = "it is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise PortTaken(place, reason) from error
    return sock
