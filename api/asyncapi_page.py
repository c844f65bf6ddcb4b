"""The contract of the event streams as a page: headings and tables, no script."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from string import Template
from typing import Any


def render(document: Mapping[str, Any]) -> str:
    """Turn an AsyncAPI document into HTML."""
    channels = document["channels"]
    return _PAGE.substitute(
        title=escape(document["info"]["title"]),
        version=escape(document["info"]["version"]),
        about=escape(document["info"]["description"]).replace("\n\n", "<p>"),
        index="".join(f'<li><a href="#{name}">{escape(name)}</a>' for name in channels),
        channels="".join(_channel(document, name) for name in channels),
        schemas="".join(
            _schema(name, schema) for name, schema in document["components"]["schemas"].items()
        ),
    )


def _channel(document: Mapping[str, Any], name: str) -> str:
    channel = document["channels"][name]
    messages = "".join(
        _message(_resolved(document, message)) for message in channel["messages"].values()
    )
    return (
        f'<section id="{escape(name)}"><h2>{escape(channel["title"])}</h2>'
        f"<p><code>{escape(channel['address'])}</code> {_text(channel['description'])}"
        f"{messages or '<p>No events yet.'}</section>"
    )


def _message(message: Mapping[str, Any]) -> str:
    attributes = message.get("headers")
    return (
        f"<details><summary><code>{escape(message['name'])}</code> "
        f"{_text(message['summary'])}</summary>"
        f"{_table('Attributes', attributes) if attributes else ''}"
        f"{_payload(message['payload'])}</details>"
    )


def _payload(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"<p>Data: {_kind_of(schema)}"
    return _table("Data", schema)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    return (
        f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        f"<p>{_text(schema.get('description', ''))}{_table('Fields', schema)}</section>"
    )


def _table(caption: str, schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{_kind_of(field)}"
        f"<td>{_text(field.get('description', ''))}"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table><caption>{caption}</caption>{rows or '<tr><td>nothing'}</table>"


def _kind_of(schema: Mapping[str, Any]) -> str:
    """Say in a few words what a value may be."""
    return " or ".join(_kinds_of(schema)) or "anything"


def _kinds_of(schema: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        yield f'<a href="#schema-{name}">{name}</a>'
    elif "const" in schema:
        yield _codes([schema["const"]])
    elif "enum" in schema:
        yield _codes(schema["enum"])
    elif "anyOf" in schema:
        yield from (_kind_of(one) for one in schema["anyOf"])
    elif schema.get("type") == "array":
        yield f"list of {_kind_of(schema.get('items', {}))}"
    elif "type" in schema:
        told = schema.get("format") or schema.get("pattern")
        yield escape(schema["type"]) + (f" <code>{escape(told)}</code>" if told else "")


def _codes(values: Iterable[object]) -> str:
    return " or ".join(f"<code>{escape(str(value))}</code>" for value in values)


def _resolved(document: Mapping[str, Any], message: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in message:
        return message
    found: Mapping[str, Any] = document["components"]["messages"][
        str(message["$ref"]).rpartition("/")[2]
    ]
    return found


def _text(told: str) -> str:
    """Set what stands between backticks as code."""
    parts = escape(told).split("`")
    return "".join(
        f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)
    ).strip()


_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
  ul { columns: 3; list-style: none; padding: 0 }
  details { margin: .3rem 0; border-top: 1px solid #8884; padding: .3rem 0 }
  summary { cursor: pointer }
  table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
  caption { text-align: left; opacity: .7 }
  td { border-top: 1px solid #8884; padding: .2rem .5rem .2rem 0; vertical-align: top }
  code { overflow-wrap: anywhere }
</style>
<h1>$title <small>$version</small></h1>
<p>$about</p>
<p>The same for programs: <a href="/asyncapi.json">/asyncapi.json</a> (AsyncAPI 3).</p>
<ul>$index</ul>
$channels
<h2>Data</h2>
$schemas
</html>
""")
