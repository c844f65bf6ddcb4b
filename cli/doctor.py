"""`tradepost doctor`: what is installed, what is configured, and whether it answers."""

import platform
from importlib.metadata import version

import typer

from cli.checks import check_servers, configured_servers
from cli.modules import require_modules
from cli.valkey import find_server
from infra.settings import load_settings

_TOLD = ("celery", "redis", "fastapi", "uvicorn", "sqlalchemy", "pymysql", "flower")


def doctor() -> None:
    """Look at modules, settings and servers; the first fault ends it with a sentence."""
    typer.echo(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    require_modules()
    typer.echo("Modules: " + ", ".join(f"{name} {version(name)}" for name in _TOLD))
    settings = load_settings()
    made = sorted(name.upper() for name in settings.model_fields_set)
    typer.echo(f"Settings made: {', '.join(made) or 'none'}")
    if settings.uses_embedded_redis:
        typer.echo(f"Redis: embedded, {find_server()}")
    if settings.uses_embedded_database:
        typer.echo(f"Database: embedded, {settings.data_dir.absolute() / 'tradepost.db'}")
    check_servers(settings)
    for what, _, setting in configured_servers(settings):
        typer.echo(f"{what} named by {setting} answers.")
    typer.echo("No fault found.")
