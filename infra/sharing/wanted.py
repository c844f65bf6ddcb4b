"""Things that somebody waits for: a set of wants, one worker for each, an outcome for all.

Askers add a want, ring, and listen. A worker takes it, works, posts the outcome and announces it.
Everything here may be lost: the asker adds his want again, or goes without.
"""

from collections.abc import Iterable
from secrets import token_hex
from time import time
from typing import Any

import orjson

from infra.cache import Cache
from infra.redis import Client, set_for_a_while, shared
from infra.sharing.kept import act_on

FLIGHT_S = 10
_LONGEST_WANT = 600
_POLLED_FOR_S = 7 * 24 * 3600
# What is noted for later than this was not noted by a schedule.
_CLOCKS_APART_S = 600

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Wanted:
    """The wants of one domain, under keys that begin with its name."""

    def __init__(self, client: Client, *, name: str) -> None:
        self._client = client
        self._cache = Cache(client)
        self._name = name
        self._release = client.register_script(_RELEASE)

    def add(self, wants: Iterable[str], *, lane: str) -> None:
        """Add wants to a lane; a want that is there already is not doubled.

        Raises:
            RedisDown: they were not added.
        """
        members = list(wants)
        if members:
            key = wanted_key(self._name, lane)
            act_on(self._client, {key: "set"}, lambda: self._client.sadd(key, *members))

    def take(self, *, lane: str, limit: int) -> list[str]:
        """Take up to `limit` wants of a lane out of the set.

        Raises:
            RedisDown: nobody knows what was taken; askers add it again.
        """
        if limit < 1:
            return []
        key = wanted_key(self._name, lane)
        taken = act_on(self._client, {key: "set"}, lambda: self._client.spop(key, limit))
        # What is no text of ours is nobody's want, and must not cost the others theirs.
        texts = [bytes(want) for want in taken]  # type: ignore[union-attr,arg-type] # a list of bytes
        return [text.decode(errors="replace") for text in texts if len(text) <= _LONGEST_WANT]

    def begin(self, want: str) -> str | None:
        """Become the only worker on a want, for ten seconds at most; None if another one is.

        Raises:
            RedisDown: nobody knows who works on it.
        """
        token = token_hex(8)
        return token if self._claim(self._flight_key(want), token, for_s=FLIGHT_S) else None

    def end(self, want: str, token: str) -> None:
        """Let others begin again, unless somebody already has.

        Raises:
            RedisDown: others wait until the ten seconds are over.
        """
        with shared():
            self._release(keys=[self._flight_key(want)], args=[token])

    def find_outcome(self, want: str) -> dict[str, object] | None:
        """Find what last became of a want, while it is worth knowing.

        Raises:
            RedisDown: the outcomes cannot be read.
        """
        return self._cache.find(outcome_key(self._name, want))

    def post(self, want: str, outcome: dict[str, object], *, life_s: int) -> None:
        """Keep what became of a want for `life_s` seconds, and tell everybody who listens.

        Raises:
            RedisDown: askers wait in vain, or ask again.
        """
        text = orjson.dumps(outcome)
        with shared(), self._client.pipeline(transaction=True) as pipe:
            pipe.set(outcome_key(self._name, want), text, ex=life_s)
            pipe.publish(channel(self._name), orjson.dumps({"want": want, "outcome": outcome}))
            pipe.execute()

    def announce(self, want: str, outcome: dict[str, object]) -> None:
        """Tell everybody who listens what became of a want a moment ago.

        Raises:
            RedisDown: askers wait in vain, or ask again.
        """
        with shared():
            self._client.publish(
                channel(self._name), orjson.dumps({"want": want, "outcome": outcome})
            )

    def list_recent(self, *, within_s: float, limit: int) -> list[str]:
        """List what was asked for lately, the latest first.

        Raises:
            RedisDown: nobody knows.
        """
        key, now = recent_key(self._name), time()

        def read() -> Any:  # noqa: ANN401 - a list of bytes
            self._client.zremrangebyscore(key, "-inf", now - within_s)
            return self._client.zrevrangebyscore(
                key, now + _CLOCKS_APART_S, now - within_s, start=0, num=limit
            )

        found = act_on(self._client, {key: "zset"}, read)
        return [name.decode(errors="replace") for name in found]

    def claim_turn(self, *, for_s: float) -> bool:
        """Take the turn of a schedule for a while; False while another one has it.

        Raises:
            RedisDown: nobody knows whose turn it is.
        """
        return self._claim(f"{self._name}:turn", "1", for_s=for_s)

    def note_polled(self, wants: Iterable[str]) -> None:
        """Note that a schedule has wanted some things just now.

        Raises:
            RedisDown: it was not noted.
        """
        now, key = time(), polled_key(self._name)
        polled = dict.fromkeys(wants, now)

        def note() -> None:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.zadd(key, polled)
                pipe.zremrangebyscore(key, "-inf", now - _POLLED_FOR_S)
                pipe.execute()

        if polled:
            act_on(self._client, {key: "zset"}, note)

    def map_polled(self, wants: Iterable[str]) -> dict[str, float]:
        """Map wants to the unix times at which a schedule last wanted them.

        Raises:
            RedisDown: nobody knows.
        """
        asked = list(wants)
        if not asked:
            return {}
        key = polled_key(self._name)
        found = act_on(self._client, {key: "zset"}, lambda: self._client.zmscore(key, asked))
        earliest, latest = time() - _POLLED_FOR_S, time() + _CLOCKS_APART_S
        return {
            want: at
            for want, at in zip(asked, found, strict=True)
            if at is not None and earliest < at < latest
        }

    def _claim(self, key: str, value: str, *, for_s: float) -> bool:
        with shared(), self._client.pipeline(transaction=False) as pipe:
            set_for_a_while(pipe, key, value, life_ms=max(1, int(for_s * 1000)))
            return bool(pipe.execute()[0])

    def _flight_key(self, want: str) -> str:
        return f"{self._name}:flight:{want}"


def wanted_key(name: str, lane: str) -> str:
    """Name the set of a lane's wants; the lane of people who wait has the plain name."""
    return f"{name}:wanted" if lane == "interactive" else f"{name}:wanted:{lane}"


def outcome_key(name: str, want: str) -> str:
    """Name the key that holds what became of a want."""
    return f"{name}:outcome:{want}"


def channel(name: str) -> str:
    """Name the channel on which outcomes are announced."""
    return f"{name}:outcome"


def polled_key(name: str) -> str:
    """Name the sorted set of what a schedule has wanted lately."""
    return f"{name}:polled"


def recent_key(name: str) -> str:
    """Name the sorted set of what was asked for lately."""
    return f"{name}:recent"
