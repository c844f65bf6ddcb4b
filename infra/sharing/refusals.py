"""What an outside service has refused, remembered for a while by every process together."""

from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Any

from infra.redis import Client, shared
from infra.sharing.kept import act_on

_LONGEST_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Closed:
    """Something that is refused, and for how long we go by that."""

    what: str
    for_s: int


class Refusals:
    """Refusals of one service, under keys that begin with its name; losing them costs a call each.

    A thing is closed when enough different askers were refused. One that was served shows that it
    is open: for as long, a refusal is about the asker and not about the thing.
    """

    def __init__(self, client: Client, *, name: str) -> None:
        self._client = client
        self._name = name

    def refuse(self, what: str, *, asker: str, enough: int, life_s: int) -> bool:
        """Note that an asker was refused; True if the thing is closed with that.

        Raises:
            RedisDown: it was not noted.
        """
        with shared():
            if self._client.exists(self._served(what)):
                return False
            with self._client.pipeline(transaction=True) as pipe:
                pipe.sadd(self._refused(what), asker)
                pipe.expire(self._refused(what), life_s)
                pipe.scard(self._refused(what))
                refused = int(pipe.execute()[-1])
            if refused < enough:
                return False
        until = time() + life_s
        self._act(lambda: self._client.zadd(self._closed, {what: until}))
        return True

    def serve(self, what: str, *, life_s: int) -> None:
        """Note that somebody was served.

        Raises:
            RedisDown: it was not noted.
        """
        with shared(), self._client.pipeline(transaction=True) as pipe:
            pipe.set(self._served(what), 1, ex=life_s)
            pipe.delete(self._refused(what))
            pipe.zrem(self._closed, what)
            pipe.execute()

    def closed_for_s(self, what: str) -> int:
        """Return for how many seconds a thing is closed; 0 if it is open.

        Raises:
            RedisDown: nobody knows.
        """
        until = self._act(lambda: self._client.zscore(self._closed, what))
        return 0 if until is None else _left_s(float(str(until)), now=time())

    def list_closed(self) -> list[Closed]:
        """List what is closed, by name.

        Raises:
            RedisDown: nobody knows.
        """
        now = time()

        def read() -> Any:  # noqa: ANN401 - pairs of bytes and numbers
            self._client.zremrangebyscore(self._closed, "-inf", now)
            return self._client.zrange(self._closed, 0, -1, withscores=True)

        found = self._act(read)
        closed = [
            Closed(what.decode(errors="replace"), _left_s(until, now=now)) for what, until in found
        ]
        return sorted(closed, key=lambda one: one.what)

    def _act(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - an answer of Redis
        return act_on(self._client, {self._closed: "zset"}, act)

    @property
    def _closed(self) -> str:
        return f"{self._name}:closed"

    def _served(self, what: str) -> str:
        return f"{self._name}:served:{what}"

    def _refused(self, what: str) -> str:
        return f"{self._name}:refused:{what}"


def _left_s(until: float, *, now: float) -> int:
    """Tell how long something is closed yet; whoever can write to Redis can say for ever."""
    return max(0, int(min(until - now, _LONGEST_S)))
