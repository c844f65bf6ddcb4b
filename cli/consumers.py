"""`tradepost events consume`, `tail` and `dead-letters`: the subscriber's side of the streams."""

import os
import shlex
import signal
import subprocess
from contextlib import closing
from threading import Event as Signal
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import AppError, Invalid
from infra.settings import load_settings

# Slow to import, and every other command does without: inside the commands.
if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from infra.consumer import Handler
    from infra.db import Database
    from infra.entries import Entry

dead_letter_app = typer.Typer(
    help="Look after what consumer groups could not handle.", no_args_is_help=True
)
_TAIL_BLOCK_MS = 1000

GroupName = Annotated[str, typer.Option("--group", help="The group's name.", min=1)]
Topics = Annotated[str, typer.Option(help="Joined by commas; all if left out.")]
TopicOf = Annotated[str, typer.Argument(help="The topic, as orders.")]
Seq = Annotated[int, typer.Argument(help="The event's number within the topic.")]


class UnknownTopics(Invalid):
    """A topic is none of ours."""

    code = "unknown_topic"


class CommandFailed(AppError):
    """The command ended with an error for an event."""

    code = "command_failed"


def consume(
    group: GroupName,
    topics: Topics = "",
    command: Annotated[
        str, typer.Option("--exec", help="Run for each event, which it reads; else print it.")
    ] = "",
    oldest: Annotated[
        bool, typer.Option("--oldest", help="A new group begins with the oldest event kept.")
    ] = False,
    metrics_port: Annotated[int, typer.Option(help="Serve metrics there; 0 does not.")] = 0,
) -> None:
    """Handle events as one consumer of a group, until SIGTERM or Ctrl-C."""
    from prometheus_client import start_http_server  # noqa: PLC0415

    from infra import logs, redis  # noqa: PLC0415
    from infra.consumer import Consumer, Terms, new_name  # noqa: PLC0415
    from infra.db import open_database  # noqa: PLC0415
    from infra.group import Group  # noqa: PLC0415
    from infra.past import DatabasePast  # noqa: PLC0415

    settings = load_settings()
    logs.configure(settings, service=f"consumer-{group}")
    database = open_database(settings.database)
    if metrics_port:
        start_http_server(metrics_port, addr="127.0.0.1")
    stop = _stopped_by_signals()
    with closing(redis.connect(settings.streams)) as client:
        Consumer(
            Group(client, group, _chosen(topics), consumer=new_name()),
            database.sessions,
            DatabasePast(database.reads),
            _runner(command) if command else _print,
            Terms(from_oldest=oldest),
        ).run(stop)
    database.engine.dispose()


def tail(topics: Topics = "") -> None:
    """Print events as they come, one JSON object a line, until Ctrl-C."""
    from infra import redis  # noqa: PLC0415
    from infra.group import Tail  # noqa: PLC0415

    stop = _stopped_by_signals()
    with closing(redis.connect(load_settings().streams)) as client:
        follower = Tail(client, _chosen(topics))
        while not stop.is_set():
            for entry in follower.read(block_ms=_TAIL_BLOCK_MS):
                typer.echo(entry.cloud_event)


@dead_letter_app.command("list")
def list_dead_letters(
    group: Annotated[str, typer.Option("--group", help="Only this group's.")] = "",
) -> None:
    """List what failed, and what waits behind it, oldest first."""
    from infra import dead_letters  # noqa: PLC0415

    database = _database()
    with database.reads() as session:
        for row in dead_letters.list_of(session, group or None):
            state = (
                "waits behind" if row.behind else "to be replayed" if row.replay_at else "failed"
            )
            typer.echo(
                f"{row.consumer_group}  {row.topic} {row.seq}  {row.subject} v{row.version}  "
                f"{state}  {row.tries} tries  {row.error}"
            )
    database.engine.dispose()


@dead_letter_app.command()
def replay(group: GroupName, topic: TopicOf, seq: Seq) -> None:
    """Let the group's consumers try an event again, then what waits behind it."""
    from infra import dead_letters  # noqa: PLC0415

    _change(lambda session: dead_letters.replay(session, group, topic, seq))
    typer.echo(f"The consumers of {group} will try {topic} {seq} again.")


@dead_letter_app.command()
def drop(group: GroupName, topic: TopicOf, seq: Seq) -> None:
    """Give an event up for good: what waits behind it goes on without it."""
    from infra import dead_letters  # noqa: PLC0415

    _change(lambda session: dead_letters.drop(session, group, topic, seq))
    typer.echo(f"{group} does without {topic} {seq}.")


def _change(work: "Callable[[Session], None]") -> None:
    from infra.db import transact  # noqa: PLC0415

    database = _database()
    transact(database.sessions, work)
    database.engine.dispose()


def _database() -> "Database":
    from infra.db import open_database  # noqa: PLC0415

    return open_database(load_settings().database)


def _chosen(topics: str) -> list[str]:
    from workers.topics import TOPICS  # noqa: PLC0415

    chosen = [topic.strip() for topic in topics.split(",") if topic.strip()] or list(TOPICS)
    unknown = [topic for topic in chosen if topic not in TOPICS]
    if unknown:
        raise UnknownTopics(f"There is no topic {unknown[0]}. There are: {', '.join(TOPICS)}.")
    return chosen


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
    words = shlex.split(command)

    def run(_session: "Session", entry: "Entry") -> None:
        told = {
            "EVENT_ID": "{}-{}".format(*entry.place),
            "EVENT_TYPE": entry.type,
            "EVENT_SUBJECT": entry.subject,
        }
        done = subprocess.run(  # noqa: S603 - what the operator asked for
            words, input=entry.cloud_event, env={**os.environ, **told}, check=False
        )
        if done.returncode:
            raise CommandFailed(f"{words[0]} ended with {done.returncode}")

    return run
