"""`tradepost events consume` and `tail`: the subscriber's side of the streams."""

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import closing
from threading import Event as Signal
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.event_streams import choose
from cli.running import settings_of_run
from infra.errors import AppError, Invalid

# Slow to import, and every other command does without: inside the commands.
if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from infra.consumers.handling import Handler
    from infra.events.entries import Entry

_TAIL_BLOCK_MS = 1000
# Before a peer takes the consumer for dead, and has the same command run once more.
_COMMAND_S = 25.0
_LAST_PORT = 65_535

Topics = Annotated[str, typer.Option(help="Joined by commas; all if left out.")]


class BadGroup(Invalid):
    """The name cannot be that of a group."""

    code = "bad_group"

    def __init__(self, most: int) -> None:
        super().__init__(f"--group takes a name of 1 to {most} characters, without spaces.")


class BadCommand(Invalid):
    """The command cannot be run, whatever the event."""

    code = "bad_command"


class CommandFailed(AppError):
    """The command ended with an error for an event."""

    code = "command_failed"


class MetricsNotServed(AppError):
    """The port for metrics cannot be had."""

    code = "metrics_not_served"

    def __init__(self, port: int, error: OSError) -> None:
        super().__init__(f"Metrics cannot be served on port {port}: {error.strerror}.")


def consume(
    group: Annotated[str, typer.Option("--group", help="The group's name.")],
    topics: Topics = "",
    command: Annotated[
        str, typer.Option("--exec", help="Run for each event, which it reads; else print it.")
    ] = "",
    oldest: Annotated[
        bool, typer.Option("--oldest", help="A new group begins with the oldest event kept.")
    ] = False,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=_LAST_PORT, help="Serve metrics there; 0 does not.")
    ] = 0,
) -> None:
    """Handle events as one consumer of a group, until SIGTERM or Ctrl-C."""
    from cli.consumer_database import open_own  # noqa: PLC0415
    from infra import logs, redis  # noqa: PLC0415
    from infra.consumers.consumer import Consumer, Terms, new_name  # noqa: PLC0415
    from infra.consumers.group import Group  # noqa: PLC0415
    from infra.consumers.past import DatabasePast  # noqa: PLC0415
    from infra.db import open_database  # noqa: PLC0415

    _check_group(group)
    chosen, handle = _chosen(topics), _runner(command) if command.strip() else _print
    settings = settings_of_run()
    logs.configure(settings, service=f"consumer-{group}")
    if metrics_port:
        _serve_metrics(metrics_port)
    stop = _stopped_by_signals()
    told, own = open_database(settings.database), open_own(settings, group)
    with closing(redis.connect(settings.streams)) as client:
        Consumer(
            Group(client, group, chosen, consumer=new_name()),
            own.sessions,
            DatabasePast(told.reads),
            handle,
            Terms(from_oldest=oldest),
        ).run(stop)
    for database in (told, own):
        database.engine.dispose()


def tail(topics: Topics = "") -> None:
    """Print events as they come, one JSON object a line, until Ctrl-C."""
    from infra import redis  # noqa: PLC0415
    from infra.consumers.group import Tail  # noqa: PLC0415

    stop = _stopped_by_signals()
    with closing(redis.connect(settings_of_run().streams)) as client:
        follower = Tail(client, _chosen(topics))
        while not stop.is_set():
            for entry in follower.read(block_ms=_TAIL_BLOCK_MS):
                typer.echo(entry.cloud_event)


def _check_group(group: str) -> None:
    from infra.consumers.inbox import GROUP_LENGTH  # noqa: PLC0415

    if not 0 < len(group) <= GROUP_LENGTH or not group.isascii() or len(group.split()) != 1:
        raise BadGroup(GROUP_LENGTH)


def _chosen(topics: str) -> tuple[str, ...]:
    return choose([topic.strip() for topic in topics.split(",") if topic.strip()])


def _serve_metrics(port: int) -> None:
    from prometheus_client import start_http_server  # noqa: PLC0415

    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise MetricsNotServed(port, error) from error


def _stopped_by_signals() -> Signal:
    stop = Signal()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _print(_session: "Session", entry: "Entry") -> None:
    typer.echo(entry.cloud_event)


def _runner(command: str) -> "Handler":
    """Make a handler of a command; one that cannot be run must not spoil every event there is."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadCommand(f"--exec: {error}.") from error
    if shutil.which(words[0]) is None:
        raise BadCommand(f"--exec: there is no command {words[0]!r}.")

    def run(_session: "Session", entry: "Entry") -> None:
        told = {
            "EVENT_ID": "{}-{}".format(*entry.place),
            "EVENT_TYPE": entry.type,
            "EVENT_SUBJECT": entry.subject,
        }
        done = subprocess.run(  # noqa: S603 - what the operator asked for
            words,
            input=entry.cloud_event + b"\n",
            env={**os.environ, **told},
            check=False,
            timeout=_COMMAND_S,
        )
        if done.returncode:
            raise CommandFailed(f"{words[0]} ended with {done.returncode}")

    return run
