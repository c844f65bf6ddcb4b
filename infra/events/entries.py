"""Events as subscribers get them, from a stream in Redis or from the database: one and the same."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar, cast

import orjson
from pydantic import TypeAdapter

from infra.events.cursor import Position
from infra.outbox import Numbered
from infra.streams import entry_fields, parse_id

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as subscribers get it; `cloud_event` is its whole JSON document.

    `shown` keeps what has been made of it for many who see the same.
    """

    topic: str
    place: Position
    type: str
    subject: str
    version: int
    data: dict[str, Any]
    cloud_event: bytes
    shown: dict[object, bytes] = field(default_factory=dict, compare=False, repr=False)


def from_stream(topic: str, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry | None:
    """Build an entry from what Redis holds; None if somebody else wrote it.

    The relay then makes the stream anew, under our ids.
    """
    if fields.get(b"id") != entry_id:
        return None
    try:
        place = Position(*parse_id(entry_id.decode()))
        return _entry(topic, place, {name.decode(): value for name, value in fields.items()})
    except ValueError:
        return None


def from_database(event: Numbered) -> Entry:
    """Build the same entry from a row."""
    flat = entry_fields(event)[1:]
    fields = {name: value.encode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    return _entry(event.topic, Position(event.epoch, event.seq), fields)


def from_cloud_event(document: bytes) -> Entry:
    """Build the same entry from its JSON document, as kept or as the API's history gives it.

    Raises:
        ValueError: it is no event of ours.
    """
    told = orjson.loads(document)
    return Entry(
        topic=str(told["source"]).removeprefix("/tradepost/"),
        place=Position(*parse_id(told["id"])),
        type=told["type"],
        subject=told["subject"],
        version=told["version"],
        data=told["data"],
        cloud_event=document,
    )


def read(entry: Entry, shape: type[T]) -> T:
    """Read an event's data as a declared shape, such as `shop.payloads.OrderData`.

    Raises:
        ValidationError: it is another.
    """
    told: T = _adapter(cast("Hashable", shape)).validate_python(entry.data)
    return told


def _entry(topic: str, place: Position, fields: Mapping[str, bytes]) -> Entry:
    """Build what subscribers get; `data` goes into the document as it stands."""
    data = fields.get("data", b"null")
    told = orjson.loads(data) or {}
    if not isinstance(told, dict):
        msg = "no event's data"
        raise ValueError(msg)  # noqa: TRY004 - as for any other text that is none of ours
    attributes = {name: value.decode() for name, value in fields.items() if name != "data"}
    version = int(attributes.get("version", "0"))
    head = orjson.dumps({**attributes, "version": version})
    return Entry(
        topic=topic,
        place=place,
        type=attributes.get("type", ""),
        subject=attributes.get("subject", ""),
        version=version,
        data=told,
        cloud_event=head[:-1] + b',"data":' + data + b"}",
    )


@lru_cache(maxsize=64)
def _adapter(shape: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(shape)  # type: ignore[arg-type] # whatever pydantic reads
