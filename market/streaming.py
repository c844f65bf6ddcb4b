"""The provider's websocket: one connection for a key, under a lease, watched and opened again.

What it brings goes the way of polled quotes: table, event, cache. Polling goes by the age of the
stored quote, so it rests while trades come and takes over by itself when they stop.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event

import orjson
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from infra.db import transact
from infra.errors import Transient
from infra.logs import log
from infra.redis import RedisDown
from infra.sharing.lease import Lease
from market import freshness, ticks
from market.refresh import Desk
from market.sessions import Session, session_at
from market.stream_watch import StreamWatch
from market.symbols import class_of
from market.tape import Coalescer, Heard, Tick, parse_message
from market.upstream import BadAnswer
from market.wants import Kind, Want

# Source: what users of the free plan tell, 2026-11; the provider documents no number.
MOST_SYMBOLS = 50
_TURN_S = 0.05
_AHEAD = timedelta(seconds=30)
_OPEN_S = 10
_CLOSE_S = 1


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds.

    `silent` is without any message, even a ping; `stalled` without a trade while trading is on.
    A connection that has lasted `steady` begins anew with `first_wait` when it is lost.
    """

    silent: float = 45.0
    stalled: float = 90.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    steady: float = 60.0
    look_again: float = 5.0


class Ingest:
    """Keeps one connection open as long as the lease is ours, and stores what comes over it."""

    def __init__(
        self,
        desk: Desk,
        *,
        url: str,
        lease: Lease,
        list_symbols: Callable[[], list[str]],
        on_news: Callable[[], None],
        on_turn: Callable[[], None],
        watch: StreamWatch,
        patience: Patience | None = None,
    ) -> None:
        self._desk = desk
        self._url = url
        self._lease = lease
        self._list_symbols = list_symbols
        self._on_news = on_news
        self._on_turn = on_turn
        self._watch = watch
        self._patience = patience or Patience()
        self._backoff = Backoff(self._patience)
        self._coalescer = Coalescer()

    def run(self, stop: Event) -> None:
        """Take turns until told to stop; then let others have the lease."""
        while not stop.is_set():
            self._take_turn()
            if not self._lease.hold() or not self._backoff.is_over():
                stop.wait(_TURN_S)
                continue
            begun = time.monotonic()
            why = self._connected(stop)
            self._backoff.lost(time.monotonic() - begun)
            if not stop.is_set():
                log.warning("stream_lost", why=why, lasted_s=round(time.monotonic() - begun, 1))
        try:
            self._lease.release()
        except RedisDown:
            log.warning("stream_lease_not_released")

    def _connected(self, stop: Event) -> str:
        """Serve one connection to its end; return why it ended, in words without the key."""
        try:
            with _open(self._url) as connection:
                log.info("stream_connected")
                self._watch.opened()
                return self._serve(connection, stop)
        except InvalidStatus as refusal:
            return f"refused with {refusal.response.status_code}"
        except (OSError, WebSocketException) as error:
            return type(error).__name__
        finally:
            self._watch.closed()

    def _take_turn(self) -> None:
        self._on_turn()
        self._watch.turn()

    def _serve(self, connection: ClientConnection, stop: Event) -> str:
        line = _Line(connection, self._watch)
        look_at = 0.0
        while not stop.is_set():
            self._take_turn()
            if not self._lease.hold():
                return "the lease is another's"
            now = time.monotonic()
            if now >= look_at:
                look_at = now + self._patience.look_again
                self._subscribe(line)
            if why := line.what_is_wrong(self._patience):
                return why
            self._hear(line)
            self._store(self._coalescer.take_due(time.monotonic()))
        return "told to stop"

    def _subscribe(self, line: "_Line") -> None:
        try:
            wanted = self._list_symbols()[:MOST_SYMBOLS]
        except Transient:
            return  # what is subscribed stays
        for symbol in line.change_to(wanted):
            self._coalescer.forget(symbol)

    def _hear(self, line: "_Line") -> None:
        heard = line.hear(timeout_s=_TURN_S)
        # One trade from the future would make all that follow look old.
        latest = datetime.now(UTC) + _AHEAD
        for trade in heard.trades:
            if trade.symbol in line.symbols and trade.at < latest:
                self._coalescer.take(trade)
        if heard.complaint:
            log.warning("stream_complains", said=heard.complaint)

    def _store(self, told: list[Tick]) -> None:
        if not told:
            return
        desk = self._desk
        try:
            saved = transact(
                desk.sessions, lambda session: ticks.save(session, told, source=desk.source)
            )
        except Transient as failure:
            log.warning("ticks_not_stored", code=failure.code, count=len(told))
            self._coalescer.give_back(told)
            return
        try:
            for one in saved:
                want = Want(Kind.QUOTE, str(one.document["symbol"]))
                desk.cache.put(want.cache_key, one.document, life_s=freshness.CACHED_S[Kind.QUOTE])
        except RedisDown:
            log.warning("ticks_not_cached", count=len(saved))
        if saved:
            self._on_news()


class Backoff:
    """When to connect again: twice as late each time, never all at the same time."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._wait_s = patience.first_wait
        self._over_at = 0.0

    def lost(self, lasted_s: float) -> None:
        """Begin a pause after a connection that lasted so long, or was never made."""
        if lasted_s >= self._patience.steady:
            self._wait_s = self._patience.first_wait
        # Jitter: those who were thrown off together must not come back together.
        self._over_at = time.monotonic() + self._wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._wait_s = min(2 * self._wait_s, self._patience.longest_wait)

    def is_over(self) -> bool:
        """Tell whether the pause is over."""
        return time.monotonic() >= self._over_at


class _Line:
    """One open connection: what is subscribed on it, and when it last said what."""

    def __init__(self, connection: ClientConnection, watch: StreamWatch) -> None:
        self.symbols: set[str] = set()
        self._connection = connection
        self._watch = watch
        self._heard_at = self._traded_at = time.monotonic()

    def change_to(self, wanted: Iterable[str]) -> set[str]:
        """Subscribe and unsubscribe; return the symbols that are no longer subscribed."""
        wanted = set(wanted)
        dropped = self.symbols - wanted
        for kind, symbols in (("unsubscribe", dropped), ("subscribe", wanted - self.symbols)):
            for symbol in sorted(symbols):
                message = {"type": kind, "symbol": symbol}
                self._connection.send(orjson.dumps(message), text=True)
        if wanted != self.symbols:
            log.info("stream_subscribed", count=len(wanted))
        self.symbols = wanted
        return dropped

    def hear(self, *, timeout_s: float) -> Heard:
        """Wait a moment for a message."""
        try:
            text = self._connection.recv(timeout=timeout_s)
        except TimeoutError:
            return Heard()
        self._heard_at = time.monotonic()
        try:
            heard = parse_message(text)
        except BadAnswer:
            log.warning("stream_not_understood")
            self._watch.heard(Heard())
            return Heard()
        self._watch.heard(heard)
        if heard.trades or not self._expects_trades():
            self._traded_at = self._heard_at
        return heard

    def what_is_wrong(self, patience: Patience) -> str | None:
        """Tell why the connection is of no use any more; None if all is well."""
        now = time.monotonic()
        if now - self._heard_at > patience.silent:
            return "nothing heard"
        if now - self._traded_at > patience.stalled:
            return "no trades"
        return None

    def _expects_trades(self) -> bool:
        now = datetime.now(UTC)
        return any(session_at(class_of(symbol), now) is Session.REGULAR for symbol in self.symbols)


def _open(url: str) -> ClientConnection:
    # The address holds the key, and the library would log it at level DEBUG.
    quiet = logging.getLogger("market.streaming.connection")
    quiet.disabled = True
    return connect(
        url,
        open_timeout=_OPEN_S,
        close_timeout=_CLOSE_S,
        # The provider pings in its own words; that it answers pings of the protocol is not told.
        ping_interval=None,
        logger=quiet,
    )
