"""`tradepost events`: look after the streams and those who read them."""

import typer

from cli import consumers, dead_letters, event_groups, event_streams

app = typer.Typer(
    help="Look after the event streams and those who read them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(event_streams.verify)
app.command()(event_streams.rebuild)
app.command()(event_streams.alarms)
app.add_typer(event_groups.app, name="groups")
app.command()(consumers.consume)
app.command()(consumers.tail)
app.add_typer(dead_letters.app, name="dead-letters")


@app.callback()
def tradepost_events() -> None:
    """Keep the names of the commands, also while there is only one."""
