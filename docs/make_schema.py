# ruff: noqa: INP001 - a script beside the page it writes, not a package
"""Write `docs/schema.md` from the tables: `python -m docs.make_schema`."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapper

from infra.db import Base

PAGE = Path(__file__).with_name("schema.md")
_HEAD = """\
# Tables

<!-- Written by `python -m docs.make_schema`; do not edit. -->

Types are those on MySQL; SQLite has its own. Amounts are minor units (cents), instants UTC with
microseconds. Identifiers from outside compare by every byte (`utf8mb4_bin`). Foreign keys stay
inside a domain: see [ADR 0008](adr/0008-no-foreign-keys-between-domains.md).
"""
_DOMAINS = {
    "shop": "Shop",
    "market": "Market",
    "accounts": "Accounts",
    "infra": "Events, tasks and queues",
}


def render() -> str:
    """Describe every table, domain by domain, as Markdown."""
    return "\n".join([_HEAD, *_diagram(), *_domains()])


def main() -> None:
    """Write the page."""
    PAGE.write_text(render())


def _diagram() -> Iterator[str]:
    yield "```mermaid\nerDiagram"
    for mapper in _mappers():
        for key in sorted(_table(mapper).foreign_keys, key=lambda key: key.parent.name):
            one = key.column.table.name
            yield f"    {one} ||--o{{ {_table(mapper).name} : {key.parent.name}"
    yield "```\n"


def _domains() -> Iterator[str]:
    for package, title in _DOMAINS.items():
        yield f"## {title}\n"
        for mapper in _mappers():
            if _package(mapper) == package:
                yield from _describe(mapper)


def _describe(mapper: Mapper[object]) -> Iterator[str]:
    table = _table(mapper)
    about = " ".join((mapper.class_.__doc__ or "").split())
    yield f"### {table.name}\n"
    yield f"{about} (`{mapper.class_.__module__}.{mapper.class_.__name__}`)\n"
    yield "| column | type | |\n|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {_type(column)} | {', '.join(_facts(column))} |"
    yield ""
    rules = list(_rules(table))
    yield from rules
    if rules:
        yield ""


def _type(column: sa.Column[object]) -> str:
    compiled = column.type.compile(dialect=mysql.dialect())
    return compiled.partition(" CHARACTER SET")[0].lower()


def _facts(column: sa.Column[object]) -> Iterator[str]:
    if column.primary_key:
        yield "key"
    for key in column.foreign_keys:
        yield f"→ `{key.column.table.name}`"
    if column.unique:
        yield "unique"
    if column.computed is not None:
        yield f"computed: `{column.computed.sqltext}`"
    if column.nullable:
        yield "may be null"


def _rules(table: sa.Table) -> Iterator[str]:
    uniques, checks = [], []
    for rule in table.constraints:
        if isinstance(rule, sa.UniqueConstraint) and not _said_of_column(rule):
            uniques.append(_names(rule.columns))
        elif isinstance(rule, sa.CheckConstraint):
            checks.append(str(rule.sqltext))
    indexes = [_names(index.columns) for index in table.indexes if not index.unique]
    for label, found in (("Unique", uniques), ("Always", checks), ("Indexes", indexes)):
        if found:
            yield f"- {label}: " + "; ".join(f"`{text}`" for text in sorted(found))


def _said_of_column(rule: sa.UniqueConstraint) -> bool:
    return len(rule.columns) == 1 and bool(next(iter(rule.columns)).unique)


def _names(columns: Iterable[sa.Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)


def _table(mapper: Mapper[object]) -> sa.Table:
    table = mapper.local_table
    if not isinstance(table, sa.Table):
        raise TypeError(table)
    return table


def _mappers() -> list[Mapper[object]]:
    for package in _DOMAINS:
        for module in walk_packages([str(PAGE.parents[1] / package)], f"{package}."):
            import_module(module.name)  # makes its tables known
    ours = [mapper for mapper in Base.registry.mappers if _package(mapper) in _DOMAINS]
    return sorted(ours, key=lambda mapper: _table(mapper).name)


def _package(mapper: Mapper[object]) -> str:
    return mapper.class_.__module__.partition(".")[0]


if __name__ == "__main__":
    main()
