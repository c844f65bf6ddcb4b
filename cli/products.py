"""`tradepost products`: bring the catalogue in line with the supplier's feed."""

import time
from typing import Annotated, Any

import typer

from cli.output import AsJson, show_json
from cli.running import settings_of_run
from infra.errors import TimedOut

app = typer.Typer(
    help="Look after the catalogue.", no_args_is_help=True, pretty_exceptions_enable=False
)
_FAILED = 1
_LOOK_EVERY_S = 0.2


class SyncNotDone(TimedOut):
    """Nobody has finished the sync in time; it goes on by itself."""

    code = "sync_not_done"

    def __init__(self, run_id: int, state: str, waited_s: float) -> None:
        super().__init__(
            f"Sync {run_id} is {state} after {waited_s:.0f} s, and goes on by itself. Does a "
            "worker consume the queue products? `tradepost queues list` tells."
        )


@app.callback()
def tradepost_products() -> None:
    """Keep the names of the commands, also while there is only one."""


@app.command()
def sync(
    dry_run: Annotated[bool, typer.Option(help="Only tell what would change.")] = False,
    wait_s: Annotated[float, typer.Option(help="How long to wait for its end.", min=1)] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Have a worker sync with the feed, and wait for it; ends with 1 if the sync failed."""
    settings = settings_of_run()
    from infra.db import open_database, transact  # noqa: PLC0415 - slow to import
    from shop import sync as syncs  # noqa: PLC0415 - as above
    from workers.bells import ring  # noqa: PLC0415 - as above
    from workers.products import sync_products  # noqa: PLC0415 - as above

    database = open_database(settings.database)
    run_id = transact(database.sessions, lambda session: syncs.request(session, dry_run=dry_run))
    ring(sync_products)
    done = _wait(database, run_id, wait_s=wait_s)
    if as_json:
        show_json(done)
    else:
        typer.echo(_told(done))
    if done["status"] != syncs.SyncState.DONE:
        raise typer.Exit(_FAILED)


def _wait(database: Any, run_id: int, *, wait_s: float) -> dict[str, Any]:  # noqa: ANN401 - a Database, imported late
    """Show how far it is, row by row of the feed, until it has ended."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    from shop import sync as syncs  # noqa: PLC0415 - slow to import

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    ends_at_s = time.monotonic() + wait_s
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("waiting for a worker", total=None)
        while True:
            with database.reads() as session:
                run = syncs.get(session, run_id)
            far = run["progress"]
            progress.update(
                bar, description=str(run["status"]), total=far["total"], completed=far["done"]
            )
            if run["ended_at"] is not None:
                return run
            if time.monotonic() > ends_at_s:
                raise SyncNotDone(run_id, run["status"], wait_s)
            time.sleep(_LOOK_EVERY_S)


def _told(run: dict[str, Any]) -> str:
    report = run["report"]
    if report["reason"]:
        return f"Sync {run['id']} failed: {report['reason']}. Nothing was changed."
    if report["not_modified"]:
        return f"Sync {run['id']}: the feed has not changed."
    counts = ("created", "changed", "unchanged", "withdrawn", "refused")
    said = ", ".join(f"{report[name]} {name}" for name in counts)
    return f"Sync {run['id']}{' (dry run)' if run['dry_run'] else ''}: {said}."
