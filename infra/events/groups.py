"""The consumer groups of the streams: who reads, how far each has come, and who has gone silent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from infra.errors import Conflict, NotFound
from infra.events import stream_scripts
from infra.redis import translated
from infra.streams import Streams, parse_id, stream_key, text_of


class GroupUnknown(NotFound):
    """There is no such group, or no such consumer in it."""

    code = "group_unknown"

    def __init__(self, topic: str, name: str) -> None:
        super().__init__(f"The stream of {topic} has no {name}.")


class GroupHasPending(Conflict):
    """Entries were delivered and not acknowledged; removing would lose sight of them."""

    code = "group_has_pending"

    def __init__(self, name: str, pending: int) -> None:
        super().__init__(
            f"{name} has {pending} entries pending, which would be forgotten with it: let another "
            "consumer claim them, or use --force."
        )


class GroupAlive(Conflict):
    """Somebody reads with it."""

    code = "group_alive"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has been at work lately: stop it first, or use --force.")


@dataclass(frozen=True, slots=True)
class Group:
    """One group of one topic: `lag` counts what it has not been given yet."""

    topic: str
    name: str
    consumers: int
    pending: int
    lag: int
    last_delivered_id: str
    lowest_pending_id: str
    silent_s: float
    is_live: bool


@dataclass(frozen=True, slots=True)
class Consumer:
    """One consumer of a group."""

    name: str
    pending: int
    silent_s: float


def life_key(topic: str) -> str:
    """Name the key that holds when each group of a topic last gave a sign of life."""
    return f"stream-groups:{topic}"


def list_groups(streams: Streams, topics: Sequence[str], *, idle: timedelta) -> list[Group]:
    """List all groups; one whose consumers have all been silent for `idle` is not alive.

    A group without consumers counts as alive for so long after it was first seen.

    Raises:
        RedisDown: the streams cannot be read.
    """
    script = streams.client.register_script(stream_scripts.GROUPS)
    with translated(), streams.client.pipeline(transaction=False) as pipe:
        for topic in topics:
            script(keys=[stream_key(topic), life_key(topic)], client=pipe)
        answers = pipe.execute()
    return [
        group
        for topic, answer in zip(topics, answers, strict=True)
        for group in _read_groups(topic, answer, idle)
    ]


def list_consumers(streams: Streams, topic: str, group: str) -> list[Consumer]:
    """List the consumers of a group.

    Raises:
        RedisDown: the streams cannot be read.
    """
    with translated():
        found: Any = streams.client.xinfo_consumers(stream_key(topic), group)
    told = [{text_of(name): value for name, value in consumer.items()} for consumer in found]
    return [
        Consumer(text_of(one["name"]), int(one["pending"]), int(one["idle"]) / 1000) for one in told
    ]


def remove(
    streams: Streams, topic: str, group: str, *, consumer: str = "", idle: timedelta, force: bool
) -> int:
    """Remove a group, or one consumer of it; return how many pending entries were forgotten.

    Raises:
        GroupUnknown: there is none.
        GroupHasPending: entries are pending, and it is not forced.
        GroupAlive: it has been at work within `idle`, and it is not forced.
        RedisDown: nobody knows.
    """
    script = streams.client.register_script(stream_scripts.REMOVE)
    with translated():
        outcome, pending = script(
            keys=[stream_key(topic), life_key(topic)],
            args=[group, consumer, int(idle.total_seconds() * 1000), int(force)],
        )
    name = f"consumer {consumer} in group {group}" if consumer else f"group {group}"
    match text_of(outcome):
        case "unknown":
            raise GroupUnknown(topic, name)
        case "pending":
            raise GroupHasPending(f"The {name}", int(pending))
        case "alive":
            raise GroupAlive(f"The {name}")
    return int(pending)


def _read_groups(topic: str, answer: list[Any], idle: timedelta) -> Iterator[Group]:
    *groups, last_id = answer
    for name, consumers, pending, delivered, lowest, silent_ms in groups:
        silent = timedelta(milliseconds=int(silent_ms))
        yield Group(
            topic=topic,
            name=text_of(name),
            consumers=int(consumers),
            pending=int(pending),
            lag=_count_between(text_of(delivered), text_of(last_id)),
            last_delivered_id=text_of(delivered),
            lowest_pending_id=text_of(lowest),
            silent_s=silent.total_seconds(),
            is_live=silent < idle,
        )


def _count_between(delivered: str, last: str) -> int:
    """Count by numbers, which are dense through epochs; a stray id makes it a guess."""
    return max(0, parse_id(last)[1] - parse_id(delivered)[1])
