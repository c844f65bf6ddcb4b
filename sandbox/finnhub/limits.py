"""How many calls a key may make: a sliding log per key, like the real budget."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox.wire import Headers, Refusal

MINUTE_S = 60.0
SECOND_S = 1.0
MOST_KEYS = 1000
TOO_MANY = "API limit reached. Please try again later. Remaining Limit: 0"


@dataclass(frozen=True, slots=True)
class Allowance:
    """Calls per minute and per second for each key; None is no limit."""

    per_minute: int | None = 60
    per_second: int | None = 30

    def changed(self, wish: Mapping[str, object]) -> "Allowance":
        """Return the allowance with what `{"per_minute"?, "per_second"?}` asks for.

        Raises:
            Refusal: 422, an unknown field or a value that is no number above 0.
        """
        known = {"per_minute": self.per_minute, "per_second": self.per_second}
        for name, value in wish.items():
            if name not in known:
                raise Refusal(422, "invalid_limit", f"Unknown field: {name}.")
            known[name] = _limit(name, value)
        return Allowance(**known)


class KeyLimits:
    """Counts the calls of every key and refuses those beyond its allowance."""

    def __init__(
        self, allowance: Allowance, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.allowance = allowance
        self.refused = 0
        self._clock = clock
        self._spent: OrderedDict[str, deque[float]] = OrderedDict()

    def replace(self, allowance: Allowance) -> None:
        """Go by another allowance and forget what was spent."""
        self.allowance = allowance
        self.refused = 0
        self._spent.clear()

    def spend(self, key: str) -> Headers:
        """Spend one call of a key and return the headers that tell what is left of its minute.

        Raises:
            Refusal: 429, the key has no call left now.
        """
        now = self._clock()
        spent = self._log_of(key)
        while spent and spent[0] <= now - MINUTE_S:
            spent.popleft()
        minute, second = self.allowance.per_minute, self.allowance.per_second
        in_last_second = sum(1 for at in reversed(spent) if at > now - SECOND_S) if second else 0
        if (minute and len(spent) >= minute) or (second and in_last_second >= second):
            self.refused += 1
            raise Refusal(429, "rate_limited", TOO_MANY, self._headers(spent, now))
        if minute or second:
            spent.append(now)
        return self._headers(spent, now)

    def describe(self) -> dict[str, object]:
        """Return the allowance and how many calls were refused since it was set."""
        return {
            "per_minute": self.allowance.per_minute,
            "per_second": self.allowance.per_second,
            "refused": self.refused,
        }

    def _log_of(self, key: str) -> deque[float]:
        spent = self._spent.setdefault(key, deque())
        self._spent.move_to_end(key)
        if len(self._spent) > MOST_KEYS:
            self._spent.popitem(last=False)
        return spent

    def _headers(self, spent: deque[float], now: float) -> Headers:
        minute = self.allowance.per_minute
        if minute is None:
            return ()
        frees_in_s = spent[0] + MINUTE_S - now if spent else 0.0
        return (
            ("x-ratelimit-limit", str(minute)),
            ("x-ratelimit-remaining", str(max(minute - len(spent), 0))),
            ("x-ratelimit-reset", str(int(time.time() + frees_in_s) + 1)),
        )


def _limit(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refusal(422, "invalid_limit", f"`{name}` must be a number above 0, or null.")
    return value
