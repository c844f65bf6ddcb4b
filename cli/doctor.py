"""`tradepost doctor`: what is installed, configured and running, what is wrong and what to do."""

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import typer

from cli.checks import check_servers, configured_servers
from cli.modules import require_modules
from cli.output import AsJson, show_json
from cli.running import settings_of_run
from cli.valkey import find_server
from infra.errors import AppError
from infra.settings import Settings

_TOLD = ("celery", "redis", "fastapi", "uvicorn", "sqlalchemy", "pymysql", "flower")
_GIGABYTE = 1_000_000_000
_WRONG = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `wrong` says what is wrong and what to do."""

    about: str
    found: str
    wrong: str | None = None


def doctor(as_json: AsJson = False) -> None:
    """Look at modules, settings, servers, clocks, disk and queues; ends with 1 if one is wrong."""
    settings = settings_of_run()
    findings = list(_look(settings))
    wrong = [finding for finding in findings if finding.wrong]
    if as_json:
        show_json({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            mark = "WRONG" if finding.wrong else "ok"
            typer.echo(f"{mark:<6}{finding.about}: {finding.found}")
            if finding.wrong:
                typer.echo(f"      {finding.wrong}")
        typer.echo(f"Wrong: {len(wrong)}." if wrong else "No fault found.")
    if wrong:
        raise typer.Exit(_WRONG)


def _look(settings: Settings) -> Iterator[Finding]:
    yield Finding(
        "Python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    )
    yield from _careful("Modules", _look_at_modules)
    made = sorted(name.upper() for name in settings.model_fields_set)
    yield Finding("Settings made", ", ".join(made) or "none")
    yield from _careful("Servers", lambda: _look_at_servers(settings))
    from cli.diagnosis import look_at_servers  # noqa: PLC0415 - slow to import

    yield from look_at_servers(settings)
    yield from _careful("Disk", lambda: _look_at_disk(settings.data_dir))


def _careful(about: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Look, and make a finding of what stands in the way of looking."""
    try:
        return look()
    except AppError as fault:
        return [Finding(about, "cannot be looked at", fault.detail)]


def _look_at_modules() -> list[Finding]:
    require_modules()
    return [Finding("Modules", ", ".join(f"{name} {version(name)}" for name in _TOLD))]


def _look_at_servers(settings: Settings) -> list[Finding]:
    embedded = []
    if settings.uses_embedded_redis:
        embedded.append(Finding("Redis", f"embedded and not running, {find_server()}"))
    if settings.uses_embedded_database:
        file = settings.data_dir.absolute() / "tradepost.db"
        embedded.append(Finding("Database", f"embedded, {file}"))
    check_servers(settings)
    named = configured_servers(settings)
    return embedded + [Finding(what, f"named by {name}, answers") for what, _, name in named]


def _look_at_disk(folder: Path) -> list[Finding]:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    short = free < _GIGABYTE
    wrong = f"Less than 1 GB is free for {folder}: make room, or set DATA_DIR." if short else None
    return [Finding("Disk", f"{free / _GIGABYTE:.1f} GB free for {folder}", wrong)]
