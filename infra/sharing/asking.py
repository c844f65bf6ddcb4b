"""The asker's side of `infra/sharing/wanted`, for an event loop with many askers at once.

One subscription per process hears every outcome. Askers of the same thing share one wait.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from time import time
from typing import Generic, TypeVar

import orjson
from redis import RedisError, ResponseError

from infra.cache import read_document
from infra.logs import log
from infra.redis import AsyncClient, translated
from infra.sharing.kept import act_on_async
from infra.sharing.wanted import channel, outcome_key, recent_key, wanted_key

T = TypeVar("T")
Outcome = dict[str, object]

# Wants and announcements can be lost; a waiting asker looks and asks again this often.
ASK_AGAIN_S = 0.5
_RECONNECT_S = 0.5
_LISTEN_S = 5.0

_ADMIT = """
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 1 end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('SADD', KEYS[1], ARGV[1])
if redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
"""


class Asking:
    """Asks for things of one domain and hears what became of them."""

    def __init__(self, client: AsyncClient, *, name: str, ring: Callable[[], None]) -> None:
        self._client = client
        self._name = name
        self._ring = ring
        self._waiting: defaultdict[str, set[asyncio.Future[Outcome]]] = defaultdict(set)
        self._admit = client.register_script(_ADMIT)

    async def ask(self, want: str, *, timeout_s: float) -> Outcome | None:
        """Ask for something and wait for what becomes of it; None if it takes too long.

        What became of it a moment ago is an answer too: failures are not tried again at once.

        Raises:
            RedisDown: nobody can be asked.
        """
        if posted := await self.find_outcome(want):
            return posted
        heard: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        # Listening begins before asking: an answer in between must not be missed.
        self._waiting[want].add(heard)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask_until_heard(want, heard)
        except TimeoutError:
            return None
        finally:
            self._waiting[want].discard(heard)
            if not self._waiting[want]:
                del self._waiting[want]

    async def find_outcome(self, want: str) -> Outcome | None:
        """Find what last became of a want, while it is worth knowing.

        Raises:
            RedisDown: the outcomes cannot be read.
        """
        return await self.find(outcome_key(self._name, want))

    async def find(self, key: str) -> dict[str, object] | None:
        """Find a cached document.

        Raises:
            RedisDown: the cache cannot be reached.
        """
        try:
            with translated():
                return read_document(await self._client.get(key))
        except ResponseError:  # a list or a hash under our key: somebody else's
            return None

    async def admit(self, who: str, what: str, *, limit: int, window_s: int) -> bool:
        """Tell whether `who` may ask for one more thing; things asked for before are free.

        Raises:
            RedisDown: nobody knows.
        """
        key = f"{self._name}:asked:{who}"
        return bool(
            await act_on_async(
                self._client,
                {key: "set"},
                lambda: self._admit(keys=[key], args=[what, limit, window_s]),
            )
        )

    async def note(self, name: str) -> None:
        """Note that something was asked for just now.

        Raises:
            RedisDown: it was not noted.
        """
        key = recent_key(self._name)
        await act_on_async(
            self._client, {key: "zset"}, lambda: self._client.zadd(key, {name: time()})
        )

    async def listen(self) -> None:
        """Hear outcomes until cancelled, over every loss of the connection."""
        while True:
            with suppress(RedisError):
                await self._hear()
            log.warning("outcomes_not_heard", domain=self._name)
            await asyncio.sleep(_RECONNECT_S)

    async def _ask_until_heard(self, want: str, heard: asyncio.Future[Outcome]) -> Outcome:
        key = wanted_key(self._name, "interactive")
        while True:
            await act_on_async(self._client, {key: "set"}, lambda: self._client.sadd(key, want))
            await asyncio.to_thread(self._ring)
            done, _ = await asyncio.wait([heard], timeout=ASK_AGAIN_S)
            if done:
                return heard.result()
            if posted := await self.find_outcome(want):
                return posted

    async def _hear(self) -> None:
        async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(channel(self._name))
            while True:
                message = await subscription.get_message(timeout=_LISTEN_S)
                if message is not None:
                    self._hand_out(message["data"])

    def _hand_out(self, announcement: bytes) -> None:
        try:
            told = orjson.loads(announcement)
            want, outcome = str(told["want"]), dict(told["outcome"])
        except (ValueError, TypeError, KeyError):
            log.warning("announcement_not_ours", domain=self._name)
            return
        for heard in self._waiting.get(want, ()):
            if not heard.done():
                heard.set_result(outcome)


class Flights(Generic[T]):
    """Lets those who want the same thing at the same time wait for one and the same work."""

    def __init__(self) -> None:
        self._flying: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, key: Hashable, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """Return what `work` returns, or what it returns to the one who began it.

        An asker who leaves does not end the work for the others.
        """
        task = self._flying.get(key)
        if task is None:
            task = asyncio.create_task(work())
            self._flying[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(task)

    def _land(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._flying[key]
        if not task.cancelled():
            task.exception()  # if all have left, nobody else will look at it
