"""`tradepost events verify`, `rebuild` and `alarms`: the streams against the database."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import Invalid

if TYPE_CHECKING:
    from infra.events.alarms import StreamAlarm
    from infra.events.verification import Verdict

_DIFFERS = 1

Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="A topic; may be repeated. All if left out.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class UnknownTopic(Invalid):
    """There is no such topic."""

    code = "unknown_topic"

    def __init__(self, topic: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no topic {topic[:40]!r}. There are: {', '.join(known)}.")


class NotConfirmed(Invalid):
    """Something that touches subscribers was not confirmed."""

    code = "not_confirmed"


def verify(topics: Topics = None, as_json: AsJson = False) -> None:
    """Compare every stream with the database, entry by entry; ends with 1 when something differs.

    Nothing is changed, and everything may go on meanwhile.
    """
    # Slow to import, and every other command does without.
    from cli.event_store import open_store  # noqa: PLC0415
    from infra.events import verification  # noqa: PLC0415

    chosen, store = choose(topics), open_store()
    streams = store.relay.streams
    with _bar("Comparing", verification.count_entries(streams, chosen)) as advance:
        verdicts = [
            verification.compare(store.database.reads, streams, topic, advance) for topic in chosen
        ]
    typer.echo(_as_json(verdicts) if as_json else "\n".join(map(_told, verdicts)))
    if not all(verdict.agrees for verdict in verdicts):
        raise typer.Exit(_DIFFERS)


def rebuild(
    topics: Topics = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    new_epoch: Annotated[
        bool,
        typer.Option(help="Tell subscribers to begin anew: the database was restored."),
    ] = False,
) -> None:
    """Empty streams and fill them again from the database, under the same ids.

    Consumer groups stand where they stood; what they had pending comes again.
    """
    # Slow to import, and every other command does without.
    from cli.event_store import open_store  # noqa: PLC0415
    from infra.events import rebuilding  # noqa: PLC0415

    chosen = choose(topics)
    question = f"Empty {len(chosen)} streams ({', '.join(chosen)}) and fill them again?"
    if not yes and not typer.confirm(question):
        raise NotConfirmed("Nothing was changed.")
    relay = open_store().relay
    with _bar("Filling", None) as advance:
        added = rebuilding.rebuild(relay, chosen, opens_epoch=new_epoch, progress=advance)
    typer.echo(f"{added} entries on {len(chosen)} streams.")


def alarms(as_json: AsJson = False) -> None:
    """List what ever happened to the streams: foreign writes, lost tails, cuts past a group."""
    # Slow to import, and every other command does without.
    from cli.event_store import open_store  # noqa: PLC0415
    from infra.events.alarms import list_alarms  # noqa: PLC0415

    with open_store().database.reads() as session:
        listed = [
            {"topic": one.topic, "kind": one.kind, "count": one.count, "last_at": _at(one)}
            for one in list_alarms(session)
        ]
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    for one in listed:
        typer.echo(f"{one['last_at']}  {one['topic']}  {one['kind']}  {one['count']}")
    if not listed:
        typer.echo("Nothing has ever happened to a stream.")


def choose(topics: list[str] | None) -> tuple[str, ...]:
    """Check the topics that were named; all if none was.

    Raises:
        UnknownTopic: there is no such topic.
    """
    from workers.topics import TOPICS  # noqa: PLC0415 - as above

    for topic in topics or ():
        if topic not in TOPICS:
            raise UnknownTopic(topic, TOPICS)
    return tuple(topics) if topics else TOPICS


def _bar(what: str, total: int | None) -> Any:  # noqa: ANN401 - a context manager of rich's parts
    from contextlib import contextmanager  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    @contextmanager
    def showing() -> Any:  # noqa: ANN401 - a generator
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(what, total=total)
            yield lambda count: progress.advance(bar, count)

    return showing()


def _at(alarm: "StreamAlarm") -> str:
    return alarm.last_at.isoformat(sep=" ", timespec="seconds")


def _as_json(verdicts: "list[Verdict]") -> str:
    # asdict would take a Counter apart into its pairs.
    told = [
        {**asdict(verdict), "found": dict(verdict.found), "agrees": verdict.agrees}
        for verdict in verdicts
    ]
    return json.dumps(told, indent=2)


def _told(verdict: "Verdict") -> str:
    counted = f"{verdict.compared} entries compared"
    beside = [
        f"{count} {what}"
        for count, what in ((verdict.waiting, "not published yet"), (verdict.unknown, "of no row"))
        if count
    ]
    if verdict.agrees:
        return f"{verdict.topic}: agrees ({', '.join([counted, *beside])})"
    sums = ", ".join(f"{count} {kind}" for kind, count in sorted(verdict.found.items()))
    named = [
        f"  {one.entry_id}: {one.kind}" + (f" in {', '.join(one.fields)}" if one.fields else "")
        for one in verdict.differences
    ]
    looked_at = ", ".join([counted, *beside])
    return "\n".join([f"{verdict.topic}: differs: {sums} ({looked_at})", *named])
