"""How often something may happen, counted in Redis for every process together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from time import time

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.redis import RedisDown

_PREFIX = "limits"


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most `times` within any `period_s`; `name` keeps kinds of events apart."""

    name: str
    times: int
    period_s: int

    def item(self) -> RateLimitItemPerSecond:
        """Say it in the words of the library that counts."""
        return RateLimitItemPerSecond(self.times, self.period_s, namespace=self.name)


class Limiter:
    """Counts events by key; nothing is sent until first use."""

    def __init__(self, url: str, *, connect_timeout_s: float, timeout_s: float) -> None:
        storage = RedisStorage(
            url,
            key_prefix=_PREFIX,
            wrap_exceptions=True,
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=timeout_s,
            # One try: a second would count twice what happened once.
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type] # handed to redis-py as it is
        )
        self._windows = MovingWindowRateLimiter(storage)

    def count(self, allowance: Allowance, key: str) -> bool:
        """Count an event; False, and nothing counted, if it is one too many.

        Raises:
            RedisDown: it cannot be counted.
        """
        with _translated():
            return self._windows.hit(allowance.item(), key)

    def wait_s(self, allowance: Allowance, key: str) -> int:
        """Tell how many seconds until another event is allowed; 0 if it is now.

        Raises:
            RedisDown: nobody knows.
        """
        with _translated():
            stats = self._windows.get_window_stats(allowance.item(), key)
        if stats.remaining > 0:
            return 0
        # No longer than it can be, whatever somebody else has put among the counted.
        return max(1, ceil(min(allowance.period_s, stats.reset_time - time())))

    def forget(self, allowance: Allowance, key: str) -> None:
        """Forget the events of a key.

        Raises:
            RedisDown: they stay counted.
        """
        with _translated():
            self._windows.clear(allowance.item(), key)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise RedisDown from error
