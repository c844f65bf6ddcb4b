"""`tradepost queues`: what waits and is due, pausing and resuming."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import AsJson, show_json, show_rows
from cli.running import settings_of_run
from infra.errors import Invalid

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from infra.settings import Settings

app = typer.Typer(
    help="See the queues, pause and resume them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Argument(metavar="QUEUE", help="payments, products, market, events.")]
_SHOWN = ("name", "depth", "consumers", "canary_age_s", "due_rows", "oldest_due_s", "paused")
_AILS = 1
_LONGEST = 200


class PauseNeedsReason(Invalid):
    """Nobody would know later why the queue is paused."""

    code = "pause_needs_reason"

    def __init__(self) -> None:
        super().__init__(f"Say with --reason why, in 1 to {_LONGEST} characters.")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the queues; ends with 1 when one of them is silent or its workers cannot be seen."""
    found = _read(settings_of_run())
    rows = found if as_json else [_row(queue) for queue in found]
    show_rows(rows, _SHOWN, as_json=as_json, none="No queues.")
    if any(queue["canary"] is None or queue["canary"]["stale"] for queue in found):
        raise typer.Exit(_AILS)


@app.command()
def schedule(as_json: AsJson = False) -> None:
    """Show what beat rings, when it last did and when it will."""
    settings = settings_of_run()
    from workers.queues import list_schedule  # noqa: PLC0415 - slow to import

    rows = list_schedule(_sources(settings))
    columns = ("name", "task", "every_s", "last_run_at", "next_run_at")
    show_rows(rows, columns, as_json=as_json, none="Nothing is rung.")


@app.command()
def pause(
    queue: Name,
    reason: Annotated[str, typer.Option(help="Why; operators will see it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Pause a queue: its tasks do nothing, and what is due stays due, over every restart."""
    why = reason.strip()
    if not 0 < len(why) <= _LONGEST:
        raise PauseNeedsReason
    from infra.jobs import queues  # noqa: PLC0415 - slow to import

    _change(queue, "pause", lambda session: queues.pause(session, queue, reason=why, by=None))
    _tell(queue, f"The queue {queue} is paused.", as_json=as_json)


@app.command()
def resume(queue: Name, as_json: AsJson = False) -> None:
    """Let a queue's tasks run again; nothing happens if it was not paused."""
    from infra.jobs import queues  # noqa: PLC0415 - slow to import

    _change(queue, "resume", lambda session: queues.resume(session, queue))
    _tell(queue, f"The queue {queue} is not paused.", as_json=as_json)


@app.command()
def canary(queue: Name, as_json: AsJson = False) -> None:
    """Let one task of a paused queue run, to see whether it works again."""
    from infra.jobs import queues  # noqa: PLC0415 - slow to import

    _change(queue, "canary", lambda session: queues.let_one_through(session, queue))
    _tell(queue, f"One task of the queue {queue} may run.", as_json=as_json)


def _change(queue: str, command: str, change: "Callable[[Session], object]") -> None:
    settings = settings_of_run()
    from accounts.audit import Doing, audited  # noqa: PLC0415 - slow to import
    from infra.db import open_database, transact  # noqa: PLC0415 - as above
    from workers.queues import check_name  # noqa: PLC0415 - as above

    check_name(queue)
    database = open_database(settings.database)
    doing = Doing(user_id=None, action=f"tradepost queues {command}", subject=f"queues/{queue}")
    transact(audited(database.sessions, doing), change)


def _tell(queue: str, said: str, *, as_json: bool) -> None:
    if as_json:
        found = _read(settings_of_run())
        show_json(next(shown for shown in found if shown["name"] == queue))
    else:
        typer.echo(said)


def _read(settings: "Settings") -> list[dict[str, Any]]:
    from workers.queues import list_all as read_all  # noqa: PLC0415 - slow to import

    return read_all(_sources(settings))


def _sources(settings: "Settings") -> Any:  # noqa: ANN401 - imported late, for it is slow
    from infra import redis  # noqa: PLC0415 - slow to import
    from infra.db import open_database  # noqa: PLC0415 - as above
    from workers.queues import Sources  # noqa: PLC0415 - as above

    def connect(url: str) -> redis.Client:
        return redis.connect(url, connect_timeout_s=1, timeout_s=2)

    reads = open_database(settings.database).reads
    return Sources(reads, connect(settings.broker), connect(settings.cache))


def _row(queue: dict[str, Any]) -> dict[str, Any]:
    ages = [item["oldest_age_s"] for item in queue["due"] if item["oldest_age_s"] is not None]
    return {
        **queue,
        "canary_age_s": queue["canary"] and queue["canary"]["age_s"],
        "due_rows": sum(item["rows"] for item in queue["due"]),
        "oldest_due_s": max(ages, default=None),
        "paused": queue["paused"] and queue["paused"]["reason"],
    }
