"""The process that keeps the provider's websocket: `python -m workers.stream`.

Any number may run; the lease lets one of them connect, and another takes over when it is gone.
"""

import os
import signal
import socket
import sys
import time
from threading import Event

from infra import logs, redis
from infra.db import transact
from infra.errors import AppError
from infra.sharing.lease import Lease
from market import freshness, watchlist
from market.stream_watch import StreamWatch
from market.streaming import MOST_SYMBOLS, Ingest
from workers import deps, heartbeat
from workers.bells import ring
from workers.events import publish
from workers.market import desk

LEASE_S = 10.0


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = deps.settings()
    except AppError as fault:
        sys.exit(fault.detail)
    logs.configure(settings, service="stream")
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ingest = Ingest(
        desk(),
        url=settings.finnhub_stream_url,
        lease=Lease(redis.connect(settings.cache), name="finnhub-stream", life_s=LEASE_S),
        list_symbols=list_symbols,
        on_news=lambda: ring(publish),
        on_turn=_Pulse(),
        watch=StreamWatch(
            deps.trades(), deps.tally(), name=f"{socket.gethostname()}:{os.getpid()}"
        ),
    )
    ingest.run(stop)


def list_symbols() -> list[str]:
    """List the watched symbols, those that are meant to stay first.

    Raises:
        RedisDown: nobody knows what was asked for lately.
        DatabaseDown: nobody knows what was put on the watchlist.
    """
    recent = desk().wanted.list_recent(within_s=freshness.WATCHED_FOR_S, limit=MOST_SYMBOLS)
    configured = deps.settings().watchlist
    entries = transact(
        deps.database().reads,
        lambda session: watchlist.list_entries(session, configured=configured, recent=recent),
    )
    return [entry.symbol for entry in entries]


class _Pulse:
    """Touches the heartbeat on the loop's turns, at most once in its interval."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + heartbeat.INTERVAL_S
            heartbeat.touch()


if __name__ == "__main__":
    main()
