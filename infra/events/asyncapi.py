"""The published contract of the event streams: an AsyncAPI 3 document made from declared kinds.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0, 2026-11.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from infra.events.kinds import Kind
from infra.streams import stream_key

VERSION = "3.0.0"
LIVE = "live"
_SCHEMAS = "#/components/schemas/"
_MODE: JsonSchemaMode = "validation"
_ID = {"type": "string", "pattern": "^[0-9]+-[0-9]+$", "examples": ["1-42"]}
# What tells of the stream itself, over server-sent events: data and sentence by event.
_NUMBER = {"type": "integer", "minimum": 0}
_TOPIC = {"type": "string"}
_CONTROLS: dict[str, tuple[dict[str, Any], str]] = {
    "ready": ({"topics": {"type": "array", "items": _TOPIC}}, "The stream has begun here."),
    "gap": (
        {"topic": _TOPIC, "after": _NUMBER, "before": _NUMBER},
        "Events between two numbers are no longer kept.",
    ),
    "reset": ({"topic": _TOPIC, "at": _ID}, "The topic's story begins anew here."),
    "place": ({}, "Nothing has passed the filters, and the cursor stands here."),
}


def document(
    kinds: Iterable[Kind], topics: Iterable[str], *, version: str, host: str
) -> dict[str, Any]:
    """Describe every topic as a channel and every kind as a message; `host` serves the API."""
    declared = list(kinds)
    payloads, schemas = _schemas(declared)
    channels = {
        topic: _channel(topic, [kind for kind in declared if kind.topic == topic])
        for topic in topics
    }
    return {
        "asyncapi": VERSION,
        "info": {"title": "Tradepost events", "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": _servers(host),
        "channels": {**channels, LIVE: _live_channel()},
        "operations": {f"publish.{name}": _operation(name) for name in (*channels, LIVE)},
        "components": {
            "messages": {kind.name: _message(kind, payloads[kind.name]) for kind in declared},
            "schemas": schemas,
        },
    }


def headers(kind: Kind) -> dict[str, Any]:
    """Describe the CloudEvents attributes of a kind, as they stand in an entry's fields."""
    attributes: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": _ID,
        "source": {"const": f"/tradepost/{kind.topic}"},
        "type": {"const": kind.name},
        "subject": {"type": "string", "pattern": f"^{kind.noun}/.+$"},
        "version": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
    }
    return _object(attributes)


def _schemas(kinds: list[Kind]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the schema of each kind's data, by its name, and the definitions they share."""
    made, shared = TypeAdapter.json_schemas(
        [(kind.name, _MODE, TypeAdapter(kind.data)) for kind in kinds],
        ref_template=_SCHEMAS + "{model}",
    )
    return {str(name): schema for (name, _), schema in made.items()}, shared.get("$defs", {})


def _channel(topic: str, kinds: list[Kind]) -> dict[str, Any]:
    return {
        "address": stream_key(topic),
        "title": topic,
        "description": f"The Redis Stream of the topic; `GET /events?topics={topic}` shows it too.",
        "servers": [{"$ref": "#/servers/streams"}],
        "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in kinds},
    }


def _message(kind: Kind, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": kind.name,
        "summary": kind.summary,
        "contentType": "application/json",
        "headers": headers(kind),
        "payload": payload,
    }


def _live_channel() -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": _ID,
        "source": {"type": "string", "pattern": "^/tradepost/.+$"},
        "type": {"type": "string"},
        "subject": {"type": "string"},
        "version": {"type": "integer", "minimum": 1},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": {"type": "object", "description": "The payload of the message named by `type`."},
    }
    event = {
        "name": "event",
        "summary": "Any event of the topics asked for, as one CloudEvent in JSON.",
        "contentType": "application/cloudevents+json",
        "payload": _object(attributes),
    }
    controls = {
        name: {"name": name, "summary": told, "payload": _object(fields)}
        for name, (fields, told) in _CONTROLS.items()
    }
    return {
        "address": "/events",
        "title": "Server-sent events",
        "description": "Many topics at once; `id` of each event is a cursor that resumes exactly.",
        "servers": [{"$ref": "#/servers/api"}],
        "messages": {"event": event, **controls},
    }


def _operation(channel: str) -> dict[str, Any]:
    return {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}


def _servers(host: str) -> dict[str, Any]:
    redis = {"default": "127.0.0.1:6379", "description": "As in `STREAMS_URL`."}
    return {
        "api": {"host": host, "protocol": "http", "description": "The API."},
        "streams": {
            "host": "{redis}",
            "protocol": "redis",
            "description": "Redis Streams, one key for each topic.",
            "variables": {"redis": redis},
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_DESCRIPTION = """Every committed change is an event, once on its topic, under a dense number.

An entry of a Redis Stream holds the CloudEvents 1.0 attributes as fields, and `data` as JSON text.
Over server-sent events the same stands in one JSON object, `version` as a number."""
