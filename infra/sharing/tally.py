"""Counters that all processes share: worker children come and go, and have no port of their own."""

import time
from collections import Counter
from math import isfinite
from typing import Any

from redis import ResponseError

from infra.logs import log
from infra.redis import Client, RedisDown, translated
from infra.sharing.kept import act_on

KEY = "tally"
_FLUSH_EVERY_S = 1.0


class Tally:
    """Adds up in this process, and from time to time in one hash in Redis.

    What cannot be added now is kept and added later. After a flush of Redis the counters begin at
    zero, which is what readers of counters expect of a restart.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._held: Counter[str] = Counter()
        self._flush_at = 0.0

    def add(self, amounts: dict[str, float]) -> None:
        """Add to counters by name; never raises for a Redis that is away."""
        for name, amount in amounts.items():
            self._held[name] += amount  # type: ignore[assignment] # a Counter may hold fractions
        if time.monotonic() >= self._flush_at:
            self.flush()

    def flush(self) -> None:
        """Add what is held to what all share."""
        self._flush_at = time.monotonic() + _FLUSH_EVERY_S
        if not self._held:
            return
        try:
            with translated(), self._client.pipeline(transaction=True) as pipe:
                for name, amount in self._held.items():
                    pipe.hincrbyfloat(KEY, name, amount)
                pipe.execute()
        except RedisDown:
            return
        except ResponseError:  # one of them is no number; all the others were added
            log.warning("counter_not_ours")
        self._held.clear()


def read(client: Client) -> dict[str, float]:
    """Read all counters.

    Raises:
        RedisDown: they cannot be read.
    """
    found: Any = act_on(client, {KEY: "hash"}, lambda: client.hgetall(KEY))  # bytes to bytes
    return {
        name.decode(errors="replace"): amount
        for name, value in found.items()
        if (amount := _amount(value)) is not None
    }


def _amount(text: bytes) -> float | None:
    """Read a counter; what somebody else has written there counts nothing."""
    try:
        amount = float(text)
    except ValueError:
        return None
    return amount if isfinite(amount) else None
