"""What commands print: a table for people, one JSON document for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
_WIDTH_UNSEEN = 160


def show_json(document: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Print one JSON document; instants as the API writes them, and the like as text."""
    typer.echo(json.dumps(document, indent=2, default=_plain))


def show_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, none: str
) -> None:
    """Print rows: as JSON with everything in them, as a table with these columns."""
    if as_json:
        show_json(list(rows))
        return
    if not rows:
        typer.echo(none)
        return
    from rich.console import Console  # noqa: PLC0415 - slow, and not needed for JSON
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    seen = sys.stdout.isatty()
    Console(width=None if seen else _WIDTH_UNSEEN, markup=False, highlight=False).print(table)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a row holds
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return str(value)
