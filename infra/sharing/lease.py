"""A right that one process has at a time, for a while, kept in Redis.

Nothing depends on it for being right, only for being quiet: after a flush two may hold it until
one of them looks again.
"""

from collections.abc import Callable
from secrets import token_hex
from time import monotonic

from infra.redis import Client, RedisDown, shared

# What somebody else has put there, of whatever kind, holds nobody up for longer than a lease.
_KEEP = """
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'LT')
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Lease:
    """One process's view of a right; it runs out `life_s` after the last time it was kept."""

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        life_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._key = f"lease:{name}"
        self._life_s = life_s
        self._clock = clock
        self._token = token_hex(8)
        self._ends_at = 0.0
        self._keep_at = 0.0
        self._keep = client.register_script(_KEEP)
        self._release = client.register_script(_RELEASE)

    def hold(self) -> bool:
        """Take the lease or keep it; tell whether it is ours now.

        Redis is asked four times in its life. When it cannot be reached, what was ours stays ours
        until it has run out by this process's own clock, and nothing new can be had.
        """
        now = self._clock()
        if now < self._keep_at:
            return now < self._ends_at
        self._keep_at = now + self._life_s / 4
        try:
            with shared():
                is_ours = bool(self._keep(keys=[self._key], args=[self._token, self._life_ms]))
        except RedisDown:
            return self._clock() < self._ends_at  # to ask in vain has taken its time
        self._ends_at = now + self._life_s if is_ours else 0.0
        return is_ours

    def release(self) -> None:
        """Let others have it at once, if it is ours.

        Raises:
            RedisDown: they have to wait until it runs out.
        """
        self._ends_at = 0.0
        with shared():
            self._release(keys=[self._key], args=[self._token])

    @property
    def _life_ms(self) -> int:
        return int(self._life_s * 1000)
