"""The Redis Streams that mirror committed events, written only by compare-and-add.

One stream per topic, key `events:<topic>`, ids `<epoch>-<seq>`. The ids are explicit, so Redis
itself refuses a second entry under the same id, and a stream's last id says how far the mirror is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra.events import stream_scripts
from infra.outbox import Numbered
from infra.redis import Client, translated

ABSENT = ""
UNUSED = "0-0"
_PAGE = 500
# No number of ours ever comes near, and the database takes none above.
_LAST_EPOCH, _LAST_SEQ = 2**31 - 2, 2**63 - 1
_TOLD_APART_BY = ("type", "subject", "version", "time")


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a stream stands: `last_id` as Redis tells it, ABSENT without a stream.

    `entry` holds the newest entry's fields, None when all were trimmed. `is_foreign` is True for a
    key that we did not write: another type, or a newest entry that is not one of ours. `missing`
    counts entries that somebody else has taken away; `floor` is the first id that retention left.
    """

    last_id: str
    epoch: int = 0
    seq: int = 0
    entry: dict[str, str] | None = None
    is_foreign: bool = False
    missing: int = 0
    floor: str = ""

    @property
    def is_unused(self) -> bool:
        """Tell whether there is no stream, or one that has never had an entry."""
        return self.last_id in (ABSENT, UNUSED)

    @property
    def is_stream(self) -> bool:
        """Tell whether the key is there and holds a stream."""
        return "-" in self.last_id

    def shows(self, event: Numbered) -> bool:
        """Tell whether the newest entry is this event; yes if there is no entry to compare."""
        if self.entry is None:
            return True
        told = entry_fields(event)[1:]
        expected = dict(zip(told[::2], told[1::2], strict=True))
        return all(self.entry.get(name) == expected[name] for name in _TOLD_APART_BY)


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """A consumer group that stands again on a stream that was started anew."""

    name: str
    at: str
    pending: int


class Streams:
    """The streams of all topics on one Redis."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._tip = client.register_script(stream_scripts.TIP)
        self._append = client.register_script(stream_scripts.APPEND)
        self._start = client.register_script(stream_scripts.START)

    def tips(self, topics: Sequence[str]) -> dict[str, Tip]:
        """Read where each topic's stream stands, in one round trip.

        Raises:
            RedisDown: the streams cannot be read.
        """
        with translated(), self.client.pipeline(transaction=False) as pipe:
            for topic in topics:
                self._tip(keys=[stream_key(topic), floor_key(topic)], client=pipe)
            answers = pipe.execute()
        return {
            topic: _as_tip(topic, answer) for topic, answer in zip(topics, answers, strict=True)
        }

    def append(self, topic: str, *, after: str, events: Sequence[Numbered]) -> bool:
        """Add events if the stream's last id is still `after`; False and no change if it is not.

        Raises:
            RedisDown: nobody knows whether they were added; the last id tells.
        """
        texts: list[str] = []
        for event in events:
            texts += _texts(event)
        with translated():
            answer = self._append(keys=[stream_key(topic)], args=[after, source_of(topic), *texts])
        return bool(answer)

    def start(
        self, topic: str, *, at: str, first: tuple[int, int], last_of_ours: str
    ) -> list[SavedGroup] | None:
        """Make the stream empty, its next entry `first`; None and no change if it is not at `at`.

        Its groups stand again where they stood: not above `last_of_ours`, and below their lowest
        pending entry, because Redis forgets with the stream what was pending.

        Raises:
            RedisDown: nobody knows; read the tip again.
        """
        epoch, seq = first
        with translated():
            answer = self._start(
                keys=[stream_key(topic), floor_key(topic)],
                args=[at, f"{epoch}-{seq - 1}", f"{epoch}-{seq}", last_of_ours],
            )
        if answer is None:
            return None
        return [SavedGroup(text_of(name), text_of(place), int(n)) for name, place, n in answer]

    def last_of_ours(self, topic: str, *, below: str) -> str:
        """Find the newest entry that is ours and not above an id; UNUSED without one.

        Raises:
            RedisDown: the streams cannot be read.
        """
        top = below
        while True:
            with translated():
                page: Any = self.client.xrevrange(stream_key(topic), max=top, count=_PAGE)
            for entry_id, fields in page:
                if is_ours(topic, text_of(entry_id), as_texts(fields)):
                    return text_of(entry_id)
            if len(page) < _PAGE:
                return UNUSED
            top = f"({text_of(page[-1][0])}"

    def length(self, topic: str) -> int:
        """Count the entries of a topic's stream.

        Raises:
            RedisDown: the streams cannot be read.
        """
        with translated():
            return int(self.client.xlen(stream_key(topic)))


def stream_key(topic: str) -> str:
    """Name the Redis key of a topic's stream."""
    return f"events:{topic}"


def floor_key(topic: str) -> str:
    """Name the key that holds the first id which retention has left on a topic's stream."""
    return f"stream-floor:{topic}"


def source_of(topic: str) -> str:
    """Name the CloudEvents source of a topic."""
    return f"/tradepost/{topic}"


def entry_fields(event: Numbered) -> list[str]:
    """Lay an event out as the stream holds it: its id, then attributes and values in turn.

    Source: CloudEvents 1.0.2, https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
    """
    event_id, kind, subject, version, time, data = _texts(event)
    return [
        event_id,
        "specversion", "1.0",
        "id", event_id,
        "source", source_of(event.topic),
        "type", kind,
        "subject", subject,
        "version", version,
        "time", time,
        "datacontenttype", "application/json",
        "data", data,
    ]  # fmt: skip


def parse_id(entry_id: str) -> tuple[int, int]:
    """Split `<epoch>-<seq>`.

    Raises:
        ValueError: it is not such an id.
    """
    epoch, dash, seq = entry_id.partition("-")
    if not dash or not (epoch.isascii() and epoch.isdigit() and seq.isascii() and seq.isdigit()):
        raise ValueError(entry_id)
    return int(epoch), int(seq)


def is_ours(topic: str, entry_id: str, fields: dict[str, str]) -> bool:
    """Tell an entry that the relay wrote from one that somebody else added."""
    return (
        fields.get("id") == entry_id
        and fields.get("source") == source_of(topic)
        and {"subject", "version"} <= fields.keys()
    )


def as_texts(fields: dict[Any, Any]) -> dict[str, str]:
    """Read an entry's fields as text."""
    return {text_of(name): text_of(value) for name, value in fields.items()}


def text_of(value: object) -> str:
    """Read one answer of Redis as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _texts(event: Numbered) -> tuple[str, str, str, str, str, str]:
    return (
        f"{event.epoch}-{event.seq}",
        event.type,
        event.subject,
        str(event.version),
        event.time.isoformat().replace("+00:00", "Z"),
        event.data,
    )


def _as_tip(topic: str, answer: list[Any]) -> Tip:
    last_id = text_of(answer[0])
    if last_id == ABSENT:
        return Tip(ABSENT)
    try:
        epoch, seq = parse_id(last_id)
    except ValueError:  # the name of another type
        return Tip(last_id, is_foreign=True)
    newest, length, floor = answer[1], int(answer[2]), _as_floor(text_of(answer[3]))
    missing = _count_missing(epoch, seq, length, floor)
    is_beyond = epoch > _LAST_EPOCH or seq > _LAST_SEQ
    tip = Tip(last_id, epoch, seq, is_foreign=is_beyond, floor=floor, missing=missing)
    if is_beyond or not isinstance(newest, list):
        return tip
    flat = [text_of(part) for part in newest[1]]
    entry = dict(zip(flat[::2], flat[1::2], strict=True))
    newest_id = text_of(newest[0])
    if newest_id != last_id and tip.missing:  # the newest was deleted; this is the one before
        return tip
    is_foreign = newest_id != last_id or not is_ours(topic, newest_id, entry)
    return replace(tip, entry=entry, is_foreign=is_foreign)


def _as_floor(told: str) -> str:
    """Read where retention left off; what somebody else has written there is as good as nothing."""
    try:
        parse_id(told)
    except ValueError:
        return ABSENT
    return told


def _count_missing(epoch: int, seq: int, length: int, floor: str) -> int:
    """Count what is not there although nobody trimmed it; over two epochs nobody can tell."""
    if not floor:
        return 0
    first_epoch, first = parse_id(floor)
    return max(0, seq - first + 1 - length) if first_epoch == epoch else 0
