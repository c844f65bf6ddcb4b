"""`tradepost events dead-letters`: what consumer groups could not handle."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.running import settings_of_run

# Slow to import, and every other command does without: inside the commands.
if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from infra.consumers.inbox import DeadLetter

app = typer.Typer(help="Look after what consumer groups could not handle.", no_args_is_help=True)

Group = Annotated[str, typer.Option("--group", help="The group's name.")]
TopicOf = Annotated[str, typer.Argument(help="The topic, as orders.")]
Seq = Annotated[int, typer.Argument(help="The event's number within the topic.")]


@app.command("list")
def list_all(
    group: Annotated[str, typer.Option("--group", help="Only this group's.")] = "",
) -> None:
    """List what failed, and what waits behind it, oldest first."""
    from cli.consumer_database import open_all  # noqa: PLC0415
    from infra.consumers import dead_letters  # noqa: PLC0415

    for database in open_all(settings_of_run()):
        with database.reads() as session:
            for row in dead_letters.list_of(session, group or None):
                typer.echo(_line(row))
        database.engine.dispose()


@app.command()
def replay(group: Group, topic: TopicOf, seq: Seq) -> None:
    """Let the group's consumers try an event again, then what waits behind it."""
    from infra.consumers import dead_letters  # noqa: PLC0415

    _change(group, lambda session: dead_letters.replay(session, group, topic, seq))
    typer.echo(f"The consumers of {group} will try {topic} {seq} again.")


@app.command()
def drop(group: Group, topic: TopicOf, seq: Seq) -> None:
    """Give an event up for good: what waits behind it goes on without it."""
    from infra.consumers import dead_letters  # noqa: PLC0415

    _change(group, lambda session: dead_letters.drop(session, group, topic, seq))
    typer.echo(f"{group} does without {topic} {seq}.")


def _line(row: "DeadLetter") -> str:
    state = "waits behind" if row.behind else "to be replayed" if row.replay_at else "failed"
    return (
        f"{row.consumer_group}  {row.topic} {row.seq}  {row.subject} v{row.version}  "
        f"{state}  {row.tries} tries  {row.error}"
    )


def _change(group: str, work: "Callable[[Session], None]") -> None:
    from cli.consumer_database import open_own  # noqa: PLC0415
    from infra.db import transact  # noqa: PLC0415

    database = open_own(settings_of_run(), group)
    transact(database.sessions, work)
    database.engine.dispose()
