"""`tradepost events groups`: who reads the streams, and who has gone."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from cli.event_streams import AsJson, Topics, choose

app = typer.Typer(
    help="List consumer groups, and remove those that have gone.", pretty_exceptions_enable=False
)

Topic = Annotated[str, typer.Option(help="The group's topic.")]


@app.callback(invoke_without_command=True)
def list_groups(context: typer.Context, topics: Topics = None, as_json: AsJson = False) -> None:
    """List the groups of every stream: what they lack, and whether they are alive."""
    if context.invoked_subcommand is not None:
        return
    # Slow to import, and every other command does without.
    from cli.event_store import open_store  # noqa: PLC0415
    from infra.events import groups  # noqa: PLC0415

    kept = open_store().retention
    listed = groups.list_groups(kept.streams, choose(topics), idle=kept.idle)
    if as_json:
        typer.echo(json.dumps([asdict(group) for group in listed], indent=2))
        return
    for group in listed:
        life = "alive" if group.is_live else "gone"
        typer.echo(
            f"{group.topic}  {group.name}  {life}, silent {_span(group.silent_s)}  "
            f"{group.consumers} consumers, {group.pending} pending, {group.lag} behind"
        )
        for one in groups.list_consumers(kept.streams, group.topic, group.name):
            typer.echo(f"    {one.name}  silent {_span(one.silent_s)}, {one.pending} pending")
    if not listed:
        typer.echo("No stream has a group.")


@app.command()
def remove(
    group: Annotated[str, typer.Argument(help="The group's name.")],
    topic: Topic,
    consumer: Annotated[str, typer.Option(help="Remove only this consumer of it.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Also if it is alive or has entries pending.")
    ] = False,
) -> None:
    """Remove a group, or one consumer of it, that has gone; refuses while something is pending."""
    # Slow to import, and every other command does without.
    from cli.event_store import open_store  # noqa: PLC0415
    from infra.events import groups  # noqa: PLC0415

    (chosen,) = choose([topic])
    kept = open_store().retention
    forgotten = groups.remove(
        kept.streams, chosen, group, consumer=consumer, idle=kept.idle, force=force
    )
    what = f"consumer {consumer} of {group}" if consumer else group
    typer.echo(f"{what} is removed from {chosen}; {forgotten} pending entries are forgotten.")


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
