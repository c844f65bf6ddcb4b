"""One reader per process over all streams, and any number of subscribers who see no gap.

The reader follows Redis. A subscriber compares each number with the one before it; what the reader
did not bring, or what came before the subscription, is filled from the database.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from infra.cursor import Position
from infra.errors import TooMany, Transient
from infra.history import History
from infra.logs import log
from infra.outbox import Numbered
from infra.redis import AsyncClient
from infra.streams import entry_fields, parse_id, stream_key

BLOCK_MS = 5000
COUNT = 500
QUEUE_LENGTH = 2000
MOST_SUBSCRIBERS = 1000
RETRY_S = 0.5


class NotFollowing(Transient):
    """The reader has not found its place yet."""

    code = "streams_unavailable"

    def __init__(self) -> None:
        super().__init__("The event streams cannot be read yet. Try again in a second.")


class TooManySubscribers(TooMany):
    """As many streams are open here as one process serves."""

    code = "too_many_streams"

    def __init__(self) -> None:
        super().__init__("Too many open streams here. Try again soon.", retry_after_s=5)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as subscribers get it; `cloud_event` is its whole JSON document."""

    topic: str
    place: Position
    type: str
    data: dict[str, Any]
    cloud_event: bytes


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
    ) -> None:
        self.history = history
        self._client = client
        self._topics = topics
        self._listeners = tuple(listeners)
        self._places: dict[str, Position] = {}
        self._subscribers: set[Subscriber] = set()

    async def run(self) -> None:
        """Follow the streams until cancelled; a lost server is waited for."""
        while True:
            try:
                if not self._places:
                    self._places = await self.history.heads(self._topics)
                await self._read()
            except (redis.RedisError, OSError, Transient) as error:
                log.warning("streams_not_read", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    def subscribe(self, topics: Iterable[str], cursor: Mapping[str, Position]) -> "Subscriber":
        """Begin to collect entries of some topics, after the cursor or from now on.

        Raises:
            NotFollowing: the reader has not found its place yet.
            TooManySubscribers: the process is full.
        """
        if not self._places:
            raise NotFollowing
        if len(self._subscribers) >= MOST_SUBSCRIBERS:
            raise TooManySubscribers
        places = {topic: cursor.get(topic, self._places[topic]) for topic in topics}
        subscriber = Subscriber(self.history, places)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: "Subscriber") -> None:
        """Forget a subscriber."""
        self._subscribers.discard(subscriber)

    async def _read(self) -> None:
        after: dict[bytes | str | memoryview[int], int | bytes | str | memoryview[int]] = {
            stream_key(topic): "{}-{}".format(*at) for topic, at in self._places.items()
        }
        streams = await self._client.xread(after, count=COUNT, block=BLOCK_MS)
        for topic, entries in _topics_of(streams):
            for entry_id, fields in entries:
                if fields.get(b"id") != entry_id:
                    # Somebody else wrote this; the relay will rebuild the stream under our ids.
                    log.warning("stream_foreign_entry", topic=topic)
                    await asyncio.sleep(RETRY_S)
                    break
                self._hand_out(_as_entry(topic, entry_id, fields))

    def _hand_out(self, entry: Entry) -> None:
        self._places[entry.topic] = entry.place
        for listener in self._listeners:
            listener(entry)
        for subscriber in self._subscribers:
            subscriber.offer(entry)


class Subscriber:
    """One reader of some topics: everything after `places`, each event once, gaps named."""

    def __init__(self, history: History, places: dict[str, Position]) -> None:
        self.places = places
        self._history = history
        self._queue: asyncio.Queue[Entry] = asyncio.Queue(QUEUE_LENGTH)
        self._overrun = False

    def offer(self, entry: Entry) -> None:
        """Take an entry for later; a subscriber who is too slow is cut off, and may resume."""
        if entry.topic not in self.places or self._overrun:
            return
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            self._overrun = True

    async def items(self) -> AsyncIterator[Item]:
        """Yield what came after the start, in order per topic; end when cut off."""
        for topic in list(self.places):
            async for item in self._catch_up(topic, until=None):
                yield item
        while not (self._overrun and self._queue.empty()):
            entry = await self._queue.get()
            async for item in self._deliver(entry):
                yield item

    async def _deliver(self, entry: Entry) -> AsyncIterator[Item]:
        at = self.places[entry.topic]
        if entry.place <= at:
            return
        if entry.place.epoch > at.epoch and entry.place.seq <= at.seq:
            self.places[entry.topic] = entry.place
            yield Reset(entry.topic, entry.place)
        elif entry.place.seq > at.seq + 1:
            async for item in self._catch_up(entry.topic, until=entry.place.seq):
                yield item
        self.places[entry.topic] = entry.place
        yield entry

    async def _catch_up(self, topic: str, *, until: int | None) -> AsyncIterator[Item]:
        """Read what is missing from the database, up to a number or to what is there now."""
        while page := await self._history.after(topic, self.places[topic].seq):
            for event in page:
                if until is not None and event.seq >= until:
                    break
                if event.seq > self.places[topic].seq + 1:
                    yield Gap(topic, self.places[topic].seq, event.seq)
                self.places[topic] = Position(event.epoch, event.seq)
                yield _from_database(event)
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


def _as_entry(topic: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    place = Position(*parse_id(entry_id.decode()))
    texts = {name.decode(): value for name, value in fields.items()}
    return _entry(topic, place, texts)


def _from_database(event: Numbered) -> Entry:
    flat = entry_fields(event)[1:]
    fields = {name: value.encode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    return _entry(event.topic, Position(event.epoch, event.seq), fields)


def _entry(topic: str, place: Position, fields: Mapping[str, bytes]) -> Entry:
    """Build what subscribers get; `data` goes into the document as it stands."""
    data = fields.get("data", b"null")
    attributes = {name: value.decode() for name, value in fields.items() if name != "data"}
    head = orjson.dumps({**attributes, "version": int(attributes.get("version", "0"))})
    return Entry(
        topic=topic,
        place=place,
        type=attributes.get("type", ""),
        data=orjson.loads(data) or {},
        cloud_event=head[:-1] + b',"data":' + data + b"}",
    )
