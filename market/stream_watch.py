"""What the processes that keep the provider's websocket tell of it, in Redis, for everybody.

They have no port of their own. All of it may be lost: they tell again within seconds.
"""

import time
from dataclasses import dataclass

from infra.redis import Client, RedisDown
from infra.sharing import tally
from infra.sharing.signs import TRADES, WORKER_GONE_AFTER_S, Signs
from infra.sharing.tally import Tally
from market.tape import Heard

_SIGN_EVERY_S = 5.0
_PREFIX = "finnhub-stream"
_CONNECTIONS, _MESSAGES, _TRADES = (
    f"{_PREFIX}:{what}" for what in ("connections", "messages", "trades")
)


@dataclass(frozen=True, slots=True)
class StreamState:
    """Whether one process is connected, and what all have counted since Redis was last empty.

    `is_connected` is None if none has been heard of within the hour.
    """

    is_connected: bool | None
    connections: int
    messages: int
    trades: int


class StreamWatch:
    """One process's account of its connection; telling it never stands in the way of the trades."""

    def __init__(self, signs: Signs, counters: Tally, *, name: str) -> None:
        self._signs = signs
        self._counters = counters
        self._name = name
        self._is_connected = False
        self._sign_at_s = 0.0

    def opened(self) -> None:
        """Tell that a connection was opened."""
        self._is_connected = True
        self._counters.add({_CONNECTIONS: 1})
        self._sign()

    def closed(self) -> None:
        """Tell that it is no more."""
        self._is_connected = False
        self._sign()

    def heard(self, heard: Heard) -> None:
        """Count a message and its trades."""
        self._counters.add({_MESSAGES: 1, _TRADES: len(heard.trades)})

    def turn(self) -> None:
        """Tell every five seconds that this process is there, connected or as a spare."""
        if time.monotonic() >= self._sign_at_s:
            self._sign()

    def _sign(self) -> None:
        self._sign_at_s = time.monotonic() + _SIGN_EVERY_S
        self._counters.flush()
        try:
            self._signs.leave(self._name, connected=self._is_connected)
        except RedisDown:
            return  # who cannot be heard looks like one that is gone


def read(client: Client) -> StreamState:
    """Read what has been told.

    Raises:
        RedisDown: nobody knows.
    """
    signs = Signs(client, TRADES).read().values()
    counted = tally.read(client)
    return StreamState(
        is_connected=any(
            sign.told.get("connected") is True and sign.age_s < WORKER_GONE_AFTER_S
            for sign in signs
        )
        if signs
        else None,
        connections=int(counted.get(_CONNECTIONS, 0)),
        messages=int(counted.get(_MESSAGES, 0)),
        trades=int(counted.get(_TRADES, 0)),
    )
