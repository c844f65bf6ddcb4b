"""Signs of life that processes leave in Redis, each with the time by Redis' own clock.

All of it may be lost: what is alive signs again within seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson

from infra.redis import Client, shared
from infra.sharing.kept import act_on

CANARIES, WORKERS, SCHEDULE = "signs:canaries", "signs:workers", "signs:schedule"
TRADES = "signs:trades"
# A worker signs every few seconds; one that has not for so long is not there.
WORKER_GONE_AFTER_S = 20.0
_FORGOTTEN_AFTER_S = 3600.0

_SIGN = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({at = now, told = ARGV[2]}))
redis.call('EXPIRE', KEYS[1], 86400)
return 1
"""


@dataclass(frozen=True, slots=True)
class Sign:
    """What was last said under a name, and how long ago."""

    at_s: float
    age_s: float
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many messages wait in a queue, and since when the oldest does, if it says so."""

    depth: int
    oldest_age_s: float | None


class Signs:
    """Signs of one kind: canaries, workers, what the schedule has rung, who hears trades."""

    def __init__(self, client: Client, key: str) -> None:
        self._client = client
        self._key = key
        self._sign = client.register_script(_SIGN)

    def leave(self, name: str, **told: Any) -> None:  # noqa: ANN401 - what JSON can say
        """Leave a sign under a name.

        Raises:
            RedisDown: it was not left.
        """
        args: list[str | bytes] = [name, orjson.dumps(told)]
        act_on(self._client, {self._key: "hash"}, lambda: self._sign(keys=[self._key], args=args))

    def read(self) -> dict[str, Sign]:
        """Read all signs by name; those of an hour ago and more are forgotten.

        Raises:
            RedisDown: nobody knows.
        """

        def look() -> Any:  # noqa: ANN401 - the time, and bytes by bytes
            with self._client.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.hgetall(self._key)
                return pipe.execute()

        (seconds, micros), found = act_on(self._client, {self._key: "hash"}, look)
        now = seconds + micros / 1_000_000
        signs = ((name, _as_sign(text, now=now)) for name, text in found.items())
        return {
            name.decode(errors="replace"): sign
            for name, sign in signs
            if sign is not None and sign.age_s < _FORGOTTEN_AFTER_S
        }


def read_depths(broker: Client, queues: Sequence[str]) -> dict[str, Waiting]:
    """Count the messages in queues, as Celery keeps them: one list each, the oldest at its end.

    Raises:
        RedisDown: the broker cannot be reached.
    """
    with shared(), broker.pipeline(transaction=False) as pipe:
        pipe.time()
        for queue in queues:
            pipe.llen(queue)
            pipe.lindex(queue, -1)
        (seconds, micros), *answers = pipe.execute()
    now = seconds + micros / 1_000_000
    pairs = zip(answers[::2], answers[1::2], strict=True)
    return {
        queue: Waiting(depth, _age_of(oldest, now=now))
        for queue, (depth, oldest) in zip(queues, pairs, strict=True)
    }


def _age_of(message: bytes | None, *, now: float) -> float | None:
    try:
        sent_at = orjson.loads(message or b"")["headers"]["sent_at"]
        age_s = max(0.0, now - float(sent_at))
    except (KeyError, TypeError, ValueError):
        return None
    return age_s if isfinite(age_s) else None


def _as_sign(text: bytes, *, now: float) -> Sign | None:
    """Read a sign; what somebody else has put among them is none."""
    try:
        sign = orjson.loads(text)
        at_s, told = min(sign["at"] + 0.0, now), dict(orjson.loads(sign["told"]))
    except (KeyError, TypeError, ValueError):
        return None
    return Sign(at_s, now - at_s, told)
