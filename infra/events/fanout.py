"""One reader per process over all streams, and any number of subscribers who see no gap.

The reader follows Redis. A subscriber compares each number with the one before it; what the reader
did not bring, or what came before the subscription, is filled from the database.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import TooMany, Transient
from infra.events.cursor import Position
from infra.events.entries import Entry, from_database, from_stream
from infra.events.history import History
from infra.logs import log
from infra.redis import AsyncClient
from infra.streams import parse_id, stream_key

BLOCK_MS = 5000
COUNT = 500
QUEUE_LENGTH = 2000
# So much is written to a client at once, when so much waits for it.
BURST = 100
RETRY_S = 0.5


class NotFollowing(Transient):
    """The reader has not found its place yet."""

    code = "streams_unavailable"

    def __init__(self) -> None:
        super().__init__("The event streams cannot be read yet. Try again in a second.")


class TooManySubscribers(Transient):
    """As many streams are open here as one process serves."""

    code = "too_many_streams"

    def __init__(self) -> None:
        super().__init__("Too many open streams here. Try again soon.", retry_after_s=5)


class TooManyOwnSubscribers(TooMany):
    """The caller has as many streams open here as one may have."""

    code = "too_many_own_streams"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have {most} streams open here, which is the most: close one first.",
            retry_after_s=5,
        )


@dataclass(frozen=True, slots=True)
class Caps:
    """How many streams may be open in one process: of all, and of one owner."""

    of_all: int = 1000
    of_one: int = 50


@dataclass(frozen=True, slots=True)
class Gap:
    """Events between two numbers that nobody can give any more."""

    topic: str
    after: int
    before: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The topic's story begins anew: what the subscriber knows of it may be wrong."""

    topic: str
    place: Position


Item = Entry | Gap | Reset
Listener = Callable[[Entry], None]


class Fanout:
    """Follows the streams of all topics and hands each entry to every subscriber of its topic."""

    def __init__(
        self,
        client: AsyncClient,
        history: History,
        topics: Sequence[str],
        listeners: Iterable[Listener] = (),
        caps: Caps | None = None,
    ) -> None:
        self.history = history
        self._client = client
        self._topics = topics
        self._listeners = tuple(listeners)
        self._caps = caps or Caps()
        self._places: dict[str, Position] = {}
        self._subscribers: dict[Subscriber, str] = {}
        self._open: Counter[str] = Counter()

    async def run(self) -> None:
        """Follow the streams until cancelled; a lost server, or a missing table, is waited for."""
        while True:
            try:
                if not self._places:
                    self._places = await self.history.heads(self._topics)
                await self._read()
            except (redis.RedisError, SQLAlchemyError, OSError, Transient) as error:
                log.warning("streams_not_read", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
            except Exception:  # noqa: BLE001 - the outermost loop: nobody's events wait for a fault of ours
                log.exception("streams_reader_failed")
                await asyncio.sleep(RETRY_S)

    def subscribe(
        self, topics: Iterable[str], cursor: Mapping[str, Position], *, owner: str = ""
    ) -> "Subscriber":
        """Begin to collect entries of some topics, after the cursor or from now on.

        Raises:
            NotFollowing: the reader has not found its place yet.
            TooManySubscribers: the process is full.
            TooManyOwnSubscribers: the owner has as many as one may have.
        """
        if not self._places:
            raise NotFollowing
        if len(self._subscribers) >= self._caps.of_all:
            raise TooManySubscribers
        if self._open[owner] >= self._caps.of_one:
            raise TooManyOwnSubscribers(self._caps.of_one)
        places = {topic: cursor.get(topic, self._places[topic]) for topic in topics}
        subscriber = Subscriber(self.history, places, self._places)
        self._subscribers[subscriber] = owner
        self._open[owner] += 1
        return subscriber

    @property
    def open_count(self) -> int:
        """How many subscribers there are."""
        return len(self._subscribers)

    def unsubscribe(self, subscriber: "Subscriber") -> None:
        """Forget a subscriber."""
        owner = self._subscribers.pop(subscriber, None)
        if owner is not None:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    async def _read(self) -> None:
        after: dict[bytes | str | memoryview[int], int | bytes | str | memoryview[int]] = {
            stream_key(topic): "{}-{}".format(*at) for topic, at in self._places.items()
        }
        streams = await self._client.xread(after, count=COUNT, block=BLOCK_MS)
        for topic, entries in _topics_of(streams):
            for entry_id, fields in entries:
                if not await self._take(topic, entry_id, fields):
                    await asyncio.sleep(RETRY_S)
                    break

    async def _take(self, topic: str, entry_id: bytes, fields: Mapping[bytes, bytes]) -> bool:
        """Hand an entry out; False if it stands where no event has come yet, and so is another's.

        From behind it nothing of the stream would be seen that the relay mends. One that cannot be
        read, and behind which the relay has gone on, is passed over: subscribers see that a number
        is missing, and ask the database.
        """
        entry, place = from_stream(topic, entry_id, fields), Position(*parse_id(entry_id.decode()))
        at = self._places[topic]
        is_next = entry is not None and place == (at.epoch, at.seq + 1)
        if not is_next and place > (await self.history.heads([topic]))[topic]:
            log.warning("stream_foreign_entry", topic=topic)
            return False
        if entry is None:
            self._places[topic] = place
        else:
            self._hand_out(entry)
        return True

    def _hand_out(self, entry: Entry) -> None:
        self._places[entry.topic] = entry.place
        for listener in self._listeners:
            listener(entry)
        for subscriber in self._subscribers:
            subscriber.offer(entry)


class Subscriber:
    """One reader of some topics: everything after `places`, each event once, gaps named."""

    def __init__(
        self, history: History, places: dict[str, Position], reader: Mapping[str, Position]
    ) -> None:
        self.places = places
        # What is made of an entry for one who follows these topics, and stands where the reader
        # stands, is the same for all of them; None while this one stands elsewhere.
        self.shared_key: tuple[str, ...] | None = None
        self._history = history
        self._reader = reader
        self._queue: asyncio.Queue[Entry | None] = asyncio.Queue(QUEUE_LENGTH)
        self._overrun = False
        self._ended = False

    def offer(self, entry: Entry) -> None:
        """Take an entry for later; a subscriber who is too slow is cut off, and may resume."""
        if entry.topic not in self.places or self._overrun or self._ended:
            return
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            self._overrun = True

    def end(self) -> None:
        """End it at once; what waits is not shown any more."""
        self._ended = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def chunks(self, show: Callable[[Item], bytes]) -> AsyncIterator[bytes]:
        """Yield what `show` makes of what came after the start, in order per topic, until cut off.

        `show` is called when `places` stand at the item; what it makes nothing of is passed over.
        """
        for topic in list(self.places):
            async for item in self._catch_up(topic, until=None):
                if shown := show(item):
                    yield shown
        self._see_whether_in_step()
        while not (self._ended or (self._overrun and self._queue.empty())):
            shown = await self._burst(show)
            if shown and not self._ended:
                yield shown

    async def _burst(self, show: Callable[[Item], bytes]) -> bytes:
        entry, shown, count = await self._queue.get(), b"", 1
        while entry is not None:
            shown += await self._take(entry, show)
            if count == BURST or self._queue.empty():
                break
            entry, count = self._queue.get_nowait(), count + 1
        return shown

    async def _take(self, entry: Entry, show: Callable[[Item], bytes]) -> bytes:
        at = self.places[entry.topic]
        if entry.place == (at.epoch, at.seq + 1):
            self.places[entry.topic] = entry.place
            shown = show(entry)
        elif entry.place <= at:
            shown = b""
        else:
            self.shared_key = None
            shown = b"".join([show(item) async for item in self._deliver(entry, at)])
        if self.shared_key is None:
            self._see_whether_in_step()
        return shown

    async def _deliver(self, entry: Entry, at: Position) -> AsyncIterator[Item]:
        if entry.place.epoch > at.epoch and entry.place.seq <= at.seq:
            self.places[entry.topic] = entry.place
            yield Reset(entry.topic, entry.place)
        elif entry.place.seq > at.seq + 1:
            async for item in self._catch_up(entry.topic, until=entry.place.seq):
                yield item
        self.places[entry.topic] = entry.place
        yield entry

    def _see_whether_in_step(self) -> None:
        """Compare with the reader when all that it has handed out has been taken."""
        if self._queue.empty() and all(
            self._reader[topic] == place for topic, place in self.places.items()
        ):
            self.shared_key = tuple(self.places)

    async def _catch_up(self, topic: str, *, until: int | None) -> AsyncIterator[Item]:
        """Read what is missing from the database, up to a number or to what is there now."""
        while page := await self._history.after(topic, self.places[topic].seq):
            for event in page:
                if self._ended or (until is not None and event.seq >= until):
                    break
                if event.seq > self.places[topic].seq + 1:
                    yield Gap(topic, self.places[topic].seq, event.seq)
                self.places[topic] = Position(event.epoch, event.seq)
                yield from_database(event)
            else:
                continue
            break
        if until is not None and self.places[topic].seq + 1 < until:
            yield Gap(topic, self.places[topic].seq, until)


def _topics_of(
    streams: Any,  # noqa: ANN401 - a mapping or a list of pairs, by protocol version
) -> Iterable[tuple[str, list[tuple[bytes, dict[bytes, bytes]]]]]:
    pairs = streams.items() if isinstance(streams, dict) else streams or ()
    for key, entries in pairs:
        topic = key.decode().removeprefix("events:")
        # A protocol version nests the entries of a stream once more.
        yield topic, entries[0] if entries and isinstance(entries[0], list) else entries
