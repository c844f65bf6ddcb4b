"""`tradepost events`: look after the streams.."""

import typer

app = typer.Typer(
    help="Look after the event streams and those who read them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def tradepost_events() -> None:
    """Keep the names of the commands, also while there is only one."""
