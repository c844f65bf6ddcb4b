# ruff: noqa: INP001 - a script beside the page it writes, not a package
"""Write `docs/cli.md` from the commands themselves: `python -m docs.make_cli`."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cli.app import app

PAGE = Path(__file__).with_name("cli.md")
_HEAD = """\
# Commands

<!-- Written by `python -m docs.make_cli`; do not edit. -->

`tradepost` is `.venv/bin/tradepost`, or `python -m cli` in the repository's folder. It reads
[the settings](settings.md); beside a `make run` on the same `DATA_DIR` it finds that run's servers.

With `--json` a command prints one JSON document on standard output and nothing else; what is for
people goes to standard error. It ends with

| code | when |
|---|---|
| 0 | it did what was asked, and nothing is wrong |
| 1 | it could not, or found something wrong; one sentence says what |
| 2 | a setting or an argument is wrong |
"""


def render() -> str:
    """Describe every command as Markdown."""
    return "\n".join([_HEAD, *_commands(typer.main.get_command(app), "tradepost")])


def main() -> None:
    """Write the page."""
    PAGE.write_text(render())


def _commands(command: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - of the library behind Typer
    parts = getattr(command, "commands", None)
    for part in (parts or {}).values():
        yield from _commands(part, f"{name} {part.name}")
    if parts is not None and not command.invoke_without_command:
        return  # it only holds others
    yield f"## {name}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    rows = [row for parameter in command.params if (row := _row(parameter))]
    if rows:
        yield "| argument, option | default | |\n|---|---|---|"
        yield from rows
        yield ""


def _row(parameter: Any) -> str | None:  # noqa: ANN401 - as above
    about = (getattr(parameter, "help", None) or "").strip()
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper()
        return f"| `{shown}` | | {about} |"
    if parameter.name == "help":
        return None
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    has_default = parameter.default not in (None, "", False) and not callable(parameter.default)
    return f"| {names} | {f'`{parameter.default}`' if has_default else ''} | {about} |"


if __name__ == "__main__":
    main()
