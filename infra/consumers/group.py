"""A consumer group as Redis keeps it: who was given what, and what was never acknowledged."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis

from infra.events.cursor import Position
from infra.events.entries import Entry, from_stream
from infra.redis import Client, translated
from infra.streams import Streams, parse_id, stream_key

_COUNT = 100
_MOST_PENDING = 10_000
# So long idle that any peer takes it at once.
_LONG_MS = 10**9


@dataclass(slots=True)
class Delivery:
    """An event in a consumer's hands; `times` says how often anybody was given it.

    One that was read from the past is not `streamed`: Redis knows nothing of it.
    """

    entry: Entry
    times: int = 1
    streamed: bool = False
    error: str = ""


class Group:
    """One consumer's view of a group over some topics."""

    def __init__(self, client: Client, name: str, topics: Sequence[str], *, consumer: str) -> None:
        self.name = name
        self.topics = tuple(topics)
        # True when the group is gone from a stream: it has to be made again.
        self.is_lost = False
        self._client = client
        self._consumer = consumer
        self._ready: set[str] = set()

    def ensure(self, topic: str, *, after: Position) -> Position | None:
        """Make the group where it is missing, to begin after a position.

        Returns the stream's first entry, None while there is no stream: it is the relay's to make.

        Raises:
            RedisDown: Redis cannot be reached.
        """
        key = stream_key(topic)
        self._ready.discard(topic)
        self.is_lost = False
        with translated():
            try:
                known = {_text(group["name"]) for group in self._groups(topic)}
                if self.name not in known:
                    self._client.xgroup_create(key, self.name, id="{}-{}".format(*after))
                told: Any = self._client.xinfo_stream(key)
            except redis.ResponseError:  # no such key, or one that is none of ours
                return None
        self._ready.add(topic)
        first = told["first-entry"]
        return _position(first[0]) if first else None

    def read(self, *, block_s: float) -> list[Delivery]:
        """Take what is new, waiting for it at most so long.

        Raises:
            RedisDown: Redis cannot be reached.
        """
        wanted: dict[Any, Any] = {stream_key(topic): ">" for topic in sorted(self._ready)}
        if not wanted:
            time.sleep(block_s)
            return []
        with translated():
            try:
                answer: Any = self._client.xreadgroup(
                    self.name,
                    self._consumer,
                    wanted,
                    count=_COUNT,
                    block=max(1, int(block_s * 1000)),
                )
            except redis.ResponseError:  # NOGROUP: flushed, or the stream was rebuilt
                self._ready.clear()
                self.is_lost = True
                return []
        return _by_topic(answer)

    def claim(self, *, idle_s: float) -> list[Delivery]:
        """Take over what a peer was given and has not come back with for so long.

        Raises:
            RedisDown: Redis cannot be reached.
        """
        found: list[Delivery] = []
        for topic in sorted(self._ready):
            answer: Any = (None, [])
            with _over_a_gone_group():
                answer = self._client.xautoclaim(
                    stream_key(topic),
                    self.name,
                    self._consumer,
                    min_idle_time=int(idle_s * 1000),
                    count=_COUNT,
                )
            claimed = _deliveries(topic, answer[1])
            times = self._times(topic, claimed)
            for delivery in claimed:
                delivery.times = times.get(delivery.entry.place, 1)
            found += claimed
        return found

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Say that events need not be given to anybody again.

        Raises:
            RedisDown: they will be given again, which does no harm.
        """
        for topic, ids in _ids(deliveries).items():
            with _over_a_gone_group():
                self._client.xack(stream_key(topic), self.name, *ids)

    def renew(self, deliveries: Iterable[Delivery], *, idle_ms: int = 0) -> None:
        """Say that events are still in good hands.

        Raises:
            RedisDown: a peer may take them over, which does no harm.
        """
        for topic, ids in _ids(deliveries).items():
            with _over_a_gone_group():
                self._client.xclaim(
                    stream_key(topic), self.name, self._consumer, 0, ids, idle=idle_ms, justid=True
                )

    def leave(self, deliveries: Iterable[Delivery]) -> None:
        """Give back what is not done, so that a peer takes it at once; be forgotten if all is done.

        Raises:
            RedisDown: a peer takes it later.
        """
        self.renew(deliveries, idle_ms=_LONG_MS)
        for topic in sorted(self._ready):
            with _over_a_gone_group():
                key = stream_key(topic)
                held: Any = self._client.xpending_range(key, self.name, "-", "+", 1, self._consumer)
                if not held:
                    self._client.xgroup_delconsumer(key, self.name, self._consumer)

    def delivered(self, topic: str) -> Position | None:
        """Tell the last entry that anybody of the group was given; None without a group.

        Raises:
            RedisDown: Redis cannot be reached.
        """
        with _over_a_gone_group():
            for group in self._groups(topic):
                if _text(group["name"]) == self.name:
                    return _position(group["last-delivered-id"])
        return None

    def pending(self, topic: str) -> set[int]:
        """Tell the numbers of what was given to somebody and not acknowledged.

        Raises:
            RedisDown: Redis cannot be reached.
        """
        if topic not in self._ready:
            return set()
        rows: Any = []
        with _over_a_gone_group():
            rows = self._client.xpending_range(
                stream_key(topic), self.name, "-", "+", _MOST_PENDING
            )
        return {_position(row["message_id"]).seq for row in rows}

    def last(self, topic: str) -> Position | None:
        """Tell the last entry of a stream; None without one.

        Raises:
            RedisDown: Redis cannot be reached.
        """
        told: Any = None
        with _over_a_gone_group():
            told = self._client.xinfo_stream(stream_key(topic))
        return None if told is None else _position(told["last-generated-id"])

    def _groups(self, topic: str) -> Any:  # noqa: ANN401 - redis-py's answer has no type
        return self._client.xinfo_groups(stream_key(topic))

    def _times(self, topic: str, claimed: Sequence[Delivery]) -> dict[Position, int]:
        if not claimed:
            return {}
        first, last = _id(claimed[0].entry), _id(claimed[-1].entry)
        rows: Any = []
        with _over_a_gone_group():
            rows = self._client.xpending_range(
                stream_key(topic), self.name, first, last, _MOST_PENDING, self._consumer
            )
        return {_position(row["message_id"]): int(row["times_delivered"]) for row in rows}


class Tail:
    """Reads topics from now on, as anybody may: no group, nothing kept."""

    def __init__(self, client: Client, topics: Sequence[str]) -> None:
        self._client = client
        self._topics = tuple(topics)
        self._after: dict[Any, Any] = {}

    def read(self, *, block_ms: int) -> list[Entry]:
        """Take what has come since the last call, waiting for it at most so long.

        What is not ours is not passed over: the relay makes the stream anew, below its id.

        Raises:
            RedisDown: Redis cannot be reached.
        """
        ends_at = time.monotonic() + block_ms / 1000
        answer: Any = None
        with _over_a_gone_group():
            self._begin()
            answer = self._client.xread(self._after, count=_COUNT, block=block_ms)
        found = _by_topic(answer)
        for delivery in found:
            self._after[stream_key(delivery.entry.topic)] = _id(delivery.entry)
        if not found:  # what cannot be read is there at once, every time
            time.sleep(max(0.0, ends_at - time.monotonic()))
        return [delivery.entry for delivery in found]

    def _begin(self) -> None:
        """Note where each topic stands: what comes between two calls is not to be missed."""
        streams = Streams(self._client)
        for topic in self._topics:
            if stream_key(topic) not in self._after:
                self._after[stream_key(topic)] = streams.last_of_ours(topic, below="+")


@contextmanager
def _over_a_gone_group() -> Iterator[None]:
    """Pass over what is asked of a group or a stream that is not there.

    After a flush the relay makes the stream anew, and `ensure` the group.

    Raises:
        RedisDown: Redis cannot be reached.
    """
    with translated(), suppress(redis.ResponseError):
        yield


def _by_topic(answer: Any) -> list[Delivery]:  # noqa: ANN401 - its shape goes by protocol version
    pairs = answer.items() if isinstance(answer, dict) else answer or ()
    found: list[Delivery] = []
    for key, entries in pairs:
        nested = entries and isinstance(entries[0], list)
        topic = _text(key).removeprefix("events:")
        found += _deliveries(topic, entries[0] if nested else entries)
    return found


def _deliveries(topic: str, entries: Iterable[Any]) -> list[Delivery]:
    """Read entries; one that is not ours is left to the relay, which rebuilds the stream."""
    read = (from_stream(topic, entry_id, fields or {}) for entry_id, fields in entries)
    return [Delivery(entry, streamed=True) for entry in read if entry is not None]


def _ids(deliveries: Iterable[Delivery]) -> dict[str, list[Any]]:
    ids: dict[str, list[Any]] = {}
    for delivery in deliveries:
        if delivery.streamed:
            ids.setdefault(delivery.entry.topic, []).append(_id(delivery.entry))
    return ids


def _id(entry: Entry) -> str:
    return "{}-{}".format(*entry.place)


def _position(entry_id: object) -> Position:
    return Position(*parse_id(_text(entry_id)))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
