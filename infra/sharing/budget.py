"""A budget of outside calls, shared by every process, as a sliding log in Redis.

The log is judged by Redis' own clock inside one script, so no two processes can spend the same
call. Without Redis there is no budget, and so no call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any

from infra.redis import Client
from infra.sharing.kept import Kinds, act_on

# A call is granted here and counted there, a little later and not always equally late: windows
# somewhat longer than the provider's own keep two calls that drift together within its limit.
MINUTE_MS = 61_000
SECOND_MS = 1_100
PAUSE_S = 10
LONGEST_PAUSE_S = 60
_ANSWERED = "answered:"
_MOST_DIGITS = 15

_NOW = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function state(field) return tonumber(redis.call('HGET', KEYS[2], field) or 0) end
"""

_TAKE = (
    _NOW
    + """
local minute_ms, second_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local per_minute, per_second = tonumber(ARGV[4]), tonumber(ARGV[5])
local unknown_gap_ms, lane, only_looks = tonumber(ARGV[6]), ARGV[7], ARGV[8] == 'look'
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if state('since') == 0 or (newest and tonumber(newest) > now + 5000) then
  if only_looks then return 0 end
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'since', now)
  newest = false
end
local wait = state('paused_until') - now
local function keep_below(limit, window_ms)
  local lowest = '(' .. (now - window_ms)
  local used = redis.call('ZCOUNT', KEYS[1], lowest, '+inf')
  if used < limit then return end
  local leaves = redis.call('ZRANGE', KEYS[1], -limit, -limit, 'WITHSCORES')[2] or now
  wait = math.max(wait, leaves + window_ms - now)
end
keep_below(per_minute, minute_ms)
keep_below(per_second, second_ms)
if now - state('since') < minute_ms and newest then
  wait = math.max(wait, newest + unknown_gap_ms - now)
end
if wait > 0 or only_looks then return math.max(0, math.ceil(wait)) end
local n = redis.call('HINCRBY', KEYS[2], 'granted', 1)
redis.call('HINCRBY', KEYS[2], 'granted:' .. lane, 1)
for _, log in ipairs({KEYS[1], KEYS[3]}) do
  redis.call('ZREMRANGEBYSCORE', log, '-inf', now - minute_ms)
  redis.call('ZADD', log, now, n)
  redis.call('PEXPIRE', log, 2 * minute_ms)
end
return 0
"""
)

_PAUSE = (
    _NOW
    + """
local shortest_ms, longest_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local told_ms, reason = tonumber(ARGV[4]), ARGV[5]
local left_ms = state('paused_until') - now
if told_ms > 0 then
  if told_ms > left_ms then
    redis.call('HSET', KEYS[2], 'paused_until', now + told_ms, 'reason', reason)
  end
  return math.max(told_ms, left_ms)
end
local strikes = 0
if -left_ms < longest_ms then strikes = state('strikes') end
if left_ms > 0 then return left_ms end
local paused_ms = math.min(longest_ms, shortest_ms * 2 ^ strikes)
redis.call('HSET', KEYS[2], 'paused_until', now + paused_ms, 'reason', reason,
           'strikes', math.min(strikes + 1, 10))
return paused_ms
"""
)

_LOOK = (
    _NOW
    + """
local lowest = '(' .. (now - tonumber(ARGV[2]))
local told = {math.max(0, state('paused_until') - now)}
for _, log in ipairs(KEYS) do
  if log ~= KEYS[2] then told[#told + 1] = redis.call('ZCOUNT', log, lowest, '+inf') end
end
return {told, redis.call('HGETALL', KEYS[2])}
"""
)


class Lane(StrEnum):
    """Who is asking; a lane leaves a part of the minute to the lanes before it."""

    INTERACTIVE = "interactive"
    SCHEDULED = "scheduled"
    BACKFILL = "backfill"


# In sixtieths of the minute's calls, and so in calls for a budget of 60.
_LEFT_TO_OTHERS = {Lane.INTERACTIVE: 0, Lane.SCHEDULED: 20, Lane.BACKFILL: 40}
# While nothing is known of the minute before, a later lane leaves longer gaps for the others.
_GAPS = {Lane.INTERACTIVE: 1.0, Lane.SCHEDULED: 1.25, Lane.BACKFILL: 2.0}


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls may be made in any 60 seconds and in any one second."""

    per_minute: int
    per_second: int

    def share(self, lane: Lane) -> int:
        """Return how many calls of a minute a lane may use, at least one."""
        return max(1, self.per_minute - ceil(self.per_minute * _LEFT_TO_OTHERS[lane] / 60))

    def gap_ms(self, lane: Lane) -> int:
        """Return the time between calls while the past minute is unknown.

        One second for a budget of 60: the minute's calls spread evenly.
        """
        return ceil(max(60_000 / self.per_minute, 1000 / self.per_second) * _GAPS[lane])


@dataclass(frozen=True, slots=True)
class Spending:
    """What has been spent, and what is left.

    `in_window` counts the calls of about the last minute by lane, `granted` those ever granted and
    `answered` what became of them. `paused_s` is above zero while the breaker is open, for
    `reason`.
    """

    left: Mapping[Lane, int]
    in_window: Mapping[Lane, int]
    granted: Mapping[Lane, int]
    answered: Mapping[str, int]
    paused_s: float
    reason: str | None


class CallBudget:
    """The calls one key may make at one provider."""

    def __init__(self, client: Client, *, name: str, limits: Limits) -> None:
        self.limits = limits
        self._client = client
        self._keys = [f"budget:{name}:log", f"budget:{name}:state"]
        self._take = client.register_script(_TAKE)
        self._pause = client.register_script(_PAUSE)
        self._look = client.register_script(_LOOK)

    def take(self, lane: Lane, *, now_ms: int | None = None) -> float:
        """Spend one call if the lane may: 0.0 if it was spent, else the seconds to wait at least.

        An empty record means that Redis has just been flushed: the calls of the past minute are
        unknown, so those of the next are spread evenly. `now_ms` is for tests; else Redis' clock.

        Raises:
            RedisDown: nobody knows what is left, so nothing may be called.
        """
        return self._judge(lane, "take", now_ms)

    def wait_s(self, lane: Lane, *, now_ms: int | None = None) -> float:
        """Tell how long a lane would have to wait for a call now, without spending any.

        Raises:
            RedisDown: nobody knows.
        """
        return self._judge(lane, "look", now_ms)

    def pause(
        self, *, told_s: float | None = None, reason: str = "", now_ms: int | None = None
    ) -> float:
        """Make no call for a while, since the provider wants none; return the seconds.

        It takes as long as the provider has said. If it says nothing it takes ten seconds, and each
        time in a row twice as long, up to a minute; asking again during such a pause, as the other
        calls under way will, changes nothing.

        Raises:
            RedisDown: the pause could not be noted; without Redis nothing is called either.
        """
        told_ms = ceil((told_s or 0) * 1000)
        args = (_text(now_ms), PAUSE_S * 1000, LONGEST_PAUSE_S * 1000, told_ms, reason)
        return int(self._act(lambda: self._pause(keys=self._keys, args=args))) / 1000

    def count(self, answer: str) -> None:
        """Count what became of a call, under a word for it.

        Raises:
            RedisDown: it is not counted.
        """
        self._act(lambda: self._client.hincrby(self._keys[1], f"answered:{answer}", 1))

    def look(self, *, now_ms: int | None = None) -> Spending:
        """Look at what is left, without spending any of it.

        Raises:
            RedisDown: nobody knows.
        """
        keys = [*self._keys, *(self._log_of(lane) for lane in Lane)]
        (paused_ms, used, *by_lane), flat = self._act(
            lambda: self._look(keys=keys, args=(_text(now_ms), MINUTE_MS))
        )
        state = {
            key.decode(errors="replace"): value.decode(errors="replace")
            for key, value in zip(flat[::2], flat[1::2], strict=True)
        }
        return Spending(
            left={lane: max(0, self.limits.share(lane) - used) for lane in Lane},
            in_window=dict(zip(Lane, by_lane, strict=True)),
            granted={lane: _whole(state.get(f"granted:{lane}", "")) for lane in Lane},
            answered={
                key.removeprefix(_ANSWERED): _whole(value)
                for key, value in sorted(state.items())
                if key.startswith(_ANSWERED)
            },
            paused_s=paused_ms / 1000,
            reason=(state.get("reason") or None) if paused_ms > 0 else None,
        )

    def _judge(self, lane: Lane, what: str, now_ms: int | None) -> float:
        numbers = (
            MINUTE_MS,
            SECOND_MS,
            self.limits.share(lane),
            self.limits.per_second,
            self.limits.gap_ms(lane),
        )
        keys = [*self._keys, self._log_of(lane)]
        args = (_text(now_ms), *numbers, lane.value, what)
        return int(self._act(lambda: self._take(keys=keys, args=args))) / 1000

    def _act(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - a script's answer
        # All at once: a log that is gone while the state says since when it is kept would be
        # taken for a minute without calls.
        log, state, *of_lanes = self._keys[0], self._keys[1], *map(self._log_of, Lane)
        kinds: Kinds = {log: "zset", state: "hash", **dict.fromkeys(of_lanes, "zset")}
        return act_on(self._client, kinds, act)

    def _log_of(self, lane: Lane) -> str:
        return f"{self._keys[0]}:{lane}"


def _whole(text: str) -> int:
    """Read a counter; what is none, was never counted or is another's, stands at zero."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _text(now_ms: int | None) -> str:
    return "" if now_ms is None else str(now_ms)
