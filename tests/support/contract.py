"""Whether events are what the published contract says of them: attributes, subject and data."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import orjson
import sqlalchemy as sa
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator
from sqlalchemy.engine import Engine

from infra.database.mysql import Rows
from infra.events import asyncapi, entries
from infra.events.kinds import Kind
from workers.topics import KINDS, TOPICS

_INSERT = re.compile(r"INSERT INTO `?event`? \(([^)]*)\)")
# What the provider adds to a profile is passed on; everything else is told field by field.
_OPEN = frozenset({"company.updated"})


@cache
def document() -> dict[str, Any]:
    """Make the contract as `/asyncapi.json` tells it."""
    return asyncapi.document(KINDS.values(), TOPICS, version="0", host="localhost")


def check_entry(topic: str, fields: Mapping[str, str]) -> None:
    """Hold an entry's fields, as Redis gives them, against the contract and CloudEvents' own SDK.

    Raises:
        AssertionError: it is not what the contract says.
    """
    _validate(asyncapi.headers(_kind(topic, fields["type"])), dict(fields))
    check_change(topic, fields["type"], fields["subject"], fields["data"])
    raw = {name.encode(): value.encode() for name, value in fields.items()}
    entry = entries.from_stream(topic, fields["id"].encode(), raw)
    assert entry is not None
    shown = entry.cloud_event
    read = JSONFormat().read(None, shown)  # refuses what is no CloudEvent
    assert (read.get_id(), read.get_subject()) == (fields["id"], fields["subject"])
    live: Any = document()["channels"][asyncapi.LIVE]["messages"]["event"]["payload"]
    _validate(live, orjson.loads(shown))


def check_change(topic: str, name: str, subject: str, data: str) -> None:
    """Hold what a writer writes against the contract.

    Raises:
        AssertionError: it is not what the contract says.
    """
    kind = _kind(topic, name)
    assert subject.startswith(f"{kind.noun}/"), f"{name} about {subject}"
    judge, told = _judge_of(name), orjson.loads(data)
    _accept(judge, told)
    unknown = told.keys() - judge.schema["properties"].keys()
    assert name in _OPEN or not unknown, f"{name} of {subject} tells of {unknown} too"


@contextmanager
def checked_writers() -> Iterator[None]:
    """Hold every event row that this process writes while the block lasts against the contract."""
    written: list[dict[str, str]] = []

    def note(*seen: Any) -> None:
        _connection, _cursor, statement, values, _context, many = seen
        found = _INSERT.match(statement)
        if found:
            columns = [name.strip("` \n") for name in found[1].split(",")]
            whole = values[0] if isinstance(values[0], Rows) else [values]
            rows = values if many else whole
            written.extend(dict(zip(columns, row, strict=True)) for row in rows)

    sa.event.listen(Engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(Engine, "before_cursor_execute", note)
    for row in written:
        check_change(row["topic"], row["type"], row["subject"], row["data"])


def _kind(topic: str, name: str) -> Kind:
    kind = KINDS.get(name)
    assert kind is not None, f"{name} on {topic} is not in the contract"
    assert kind.topic == topic, f"{name} belongs to {kind.topic}, not to {topic}"
    return kind


@cache
def _judge_of(name: str) -> Any:
    return Draft202012Validator(KINDS[name].schema())


def _validate(schema: Any, told: object) -> None:
    _accept(Draft202012Validator(schema), told)


def _accept(judge: Any, told: object) -> None:
    fault = next(judge.iter_errors(told), None)
    assert fault is None, f"{fault.json_path}: {fault.message}"
