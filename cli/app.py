"""The command line: every command by its name, every foreseen fault as one sentence."""

import sys

import typer

from cli import doctor, migrate, up
from infra.errors import AppError, Misconfigured

_START_FAULT, _SETTINGS_FAULT = 1, 2

app = typer.Typer(
    name="tradepost",
    help="A shop and a market-data feed on FastAPI, Celery, MySQL and Redis Streams.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(migrate.migrate)
app.command()(doctor.doctor)


@app.callback()
def tradepost() -> None:
    """Keep the names of the commands, also while there is only one."""


def run() -> None:
    """Carry out the command line; what we foresaw ends in a sentence, not in a traceback."""
    try:
        app()
    except Misconfigured as fault:
        _end(fault, code=_SETTINGS_FAULT)
    except AppError as fault:
        _end(fault, code=_START_FAULT)


def _end(fault: AppError, *, code: int) -> None:
    typer.echo(fault.detail, err=True)
    sys.exit(code)
