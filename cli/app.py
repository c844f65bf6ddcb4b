"""The command line: every command by its name, every foreseen fault as one sentence."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cli import doctor, events, held, migrate, payments, products, queues, seed, tasks, up, users
from infra.errors import AppError, Invalid, Misconfigured

_FAULT, _WRONGLY_ASKED = 1, 2

app = typer.Typer(
    name="tradepost",
    help="A shop and a market-data feed on FastAPI, Celery, MySQL and Redis Streams.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(migrate.migrate)
app.command()(seed.seed)
app.command()(doctor.doctor)
app.add_typer(users.app, name="users")
app.add_typer(products.app, name="products")
app.add_typer(tasks.app, name="tasks")
app.add_typer(queues.app, name="queues")
for name, command in (
    ("held", held.held),
    ("ask", held.ask),
    ("settle", held.settle),
    ("settle-refund", held.settle_refund),
):
    payments.payments.command(name)(command)
app.add_typer(payments.payments, name="payments")
app.add_typer(events.app, name="events")


@app.callback()
def tradepost() -> None:
    """Keep the names of the commands, also while there is only one."""


def run() -> None:
    """Carry out the command line."""
    with end_with_sentence():
        # By its own name in every way of calling it, as docs/cli.md has it.
        app(prog_name="tradepost")


@contextmanager
def end_with_sentence() -> Iterator[None]:
    """End the program with one sentence for a fault that we foresaw, not with a traceback."""
    try:
        yield
    except AppError as fault:
        typer.echo(fault.detail, err=True)
        sys.exit(_WRONGLY_ASKED if isinstance(fault, Misconfigured | Invalid) else _FAULT)
