"""`tradepost tasks`: what was asked for, what failed, and having it tried again."""

from typing import Annotated, Literal

import typer

from cli.output import AsJson, show_json, show_rows
from cli.running import settings_of_run

app = typer.Typer(
    help="See what tasks did, and have failed ones tried again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
TaskId = Annotated[int, typer.Argument(metavar="TASK", help="The task's id.", min=1)]
# The values of `infra.jobs.tasks.TaskState`, which takes long to import.
StateName = Literal["running", "failed", "retried", "done"]
_SHOWN = ("id", "name", "state", "tries", "arguments", "ended_at", "error")


@app.command("list")
def list_all(
    state: Annotated[StateName | None, typer.Option(help="Only those that stand so.")] = None,
    name: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List tasks that somebody asked for or that failed, newest first."""
    from infra.db import open_database  # noqa: PLC0415 - as above
    from infra.jobs import tasks  # noqa: PLC0415 - slow to import

    database = open_database(settings_of_run().database)
    with database.reads() as session:
        wanted = tasks.Filter(state=state and tasks.TaskState(state), name=name)
        rows = tasks.list_page(session, wanted, limit=limit)
    show_rows(rows, _SHOWN, as_json=as_json, none="No tasks.")


@app.command()
def show(task: TaskId, as_json: AsJson = False) -> None:
    """Show a task with its traceback."""
    from infra.db import open_database  # noqa: PLC0415 - as above
    from infra.jobs import tasks  # noqa: PLC0415 - slow to import

    database = open_database(settings_of_run().database)
    with database.reads() as session:
        shown = tasks.get(session, task)
    if as_json:
        show_json(shown)
        return
    traceback = shown.pop("traceback")
    for field, value in shown.items():
        typer.echo(f"{field:<12}{value}")
    if traceback:
        typer.echo(f"\n{traceback}")


@app.command()
def retry(task: TaskId, as_json: AsJson = False) -> None:
    """Have a failed task tried again; ends with 1 if it has not failed."""
    settings = settings_of_run()
    from accounts.audit import Doing, audited  # noqa: PLC0415 - slow to import
    from infra.db import open_database  # noqa: PLC0415 - as above
    from workers import retries  # noqa: PLC0415 - as above

    database = open_database(settings.database)
    doing = Doing(user_id=None, action="tradepost tasks retry", subject=f"tasks/{task}")
    shown = retries.retry(database.sessions, task, audited=audited(database.sessions, doing))
    if as_json:
        show_json(shown)
    else:
        typer.echo(f"Task {task}, {shown['name']}, is tried again.")
