"""The queues as an operator sees them: what waits, who takes it, what is due, what is paused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import celeryconfig
from infra import clock
from infra.db import Sessions
from infra.errors import NotFound
from infra.events.backlog import Backlog, measure_events
from infra.jobs import queues
from infra.jobs.queues import Pause
from infra.redis import Client, RedisDown
from infra.sharing.signs import (
    CANARIES,
    SCHEDULE,
    WORKER_GONE_AFTER_S,
    WORKERS,
    Sign,
    Signs,
    Waiting,
    read_depths,
)
from shop import backlog
from workers.app import app
from workers.topics import TOPICS

NAMES: tuple[str, ...] = tuple(queue.name for queue in celeryconfig.task_queues)
# Three canaries that did not come.
STALE_AFTER_S = 45.0
_QUEUE_OF = {"products.sync": "products", "events.publish": "events"}


class QueueNotFound(NotFound):
    """There is no such queue."""

    code = "queue_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no queue {name[:40]!r}. There are: {', '.join(NAMES)}.")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the state of the queues is read."""

    reads: Sessions
    broker: Client
    cache: Client


@dataclass(frozen=True, slots=True)
class Consumption:
    """What Redis knows of the queues; None where it could not be asked."""

    depths: Mapping[str, Waiting]
    canaries: Mapping[str, Sign]
    workers: Mapping[str, Sign]


def check_name(name: str) -> str:
    """Return the name of a queue that there is.

    Raises:
        QueueNotFound: there is none.
    """
    if name not in NAMES:
        raise QueueNotFound(name)
    return name


def list_all(sources: Sources) -> list[dict[str, Any]]:
    """Show every queue; what Redis would have to say is None while it is away."""
    with sources.reads() as session:
        now = clock.now(session)
        pauses = queues.list_pauses(session)
        due = due_by_queue(measure_all(session))
    consumption = find_consumption(sources)
    return [
        {
            "name": name,
            **_consumed(name, consumption),
            "paused": _paused(pauses.get(name)),
            "due": [_due(item, now=now) for item in due.get(name, ())],
        }
        for name in NAMES
    ]


def measure_all(session: Any) -> list[Backlog]:  # noqa: ANN401 - a session, which edges do not name
    """Measure what each task that works on rows would find now."""
    events = measure_events(session, "events.publish", topics=TOPICS)
    return [*backlog.list_due(session), events]


def due_by_queue(found: Sequence[Backlog]) -> dict[str, list[Backlog]]:
    """Sort what is due by the queue of its task."""
    sorted_: dict[str, list[Backlog]] = {}
    for item in found:
        sorted_.setdefault(_QUEUE_OF.get(item.task, "payments"), []).append(item)
    return sorted_


def find_consumption(sources: Sources) -> Consumption | None:
    """Read depths, canaries and workers; None while Redis is away."""
    try:
        return Consumption(
            depths=read_depths(sources.broker, NAMES),
            canaries=Signs(sources.cache, CANARIES).read(),
            workers=Signs(sources.cache, WORKERS).read(),
        )
    except RedisDown:
        return None


def consumers(name: str, workers: Mapping[str, Sign]) -> list[str]:
    """Name the workers that say they consume a queue."""
    return sorted(
        worker
        for worker, sign in workers.items()
        if sign.age_s < WORKER_GONE_AFTER_S and name in _list_told(sign, "queues")
    )


def list_schedule(sources: Sources) -> list[dict[str, Any]]:
    """Show what beat rings, when it last did and next will; unknown while Redis is away."""
    try:
        rung = Signs(sources.cache, SCHEDULE).read()
    except RedisDown:
        rung = {}
    return [_entry(name, entry, rung.get(name)) for name, entry in app.conf.beat_schedule.items()]


def _entry(name: str, entry: Mapping[str, Any], sign: Sign | None) -> dict[str, Any]:
    every_s = float(entry["schedule"])
    last_at = datetime.fromtimestamp(sign.at_s, UTC) if sign else None
    return {
        "name": name,
        "task": entry["task"],
        "every_s": every_s,
        "last_run_at": last_at,
        "next_run_at": last_at + timedelta(seconds=every_s) if last_at else None,
    }


def _consumed(name: str, known: Consumption | None) -> dict[str, Any]:
    if known is None:
        return dict.fromkeys(("depth", "oldest_message_age_s", "consumers", "canary"))
    canary = known.canaries.get(name)
    return {
        "depth": known.depths[name].depth,
        "oldest_message_age_s": known.depths[name].oldest_age_s,
        "consumers": consumers(name, known.workers),
        "canary": canary
        and {
            "at": datetime.fromtimestamp(canary.at_s, UTC),
            "age_s": round(canary.age_s, 1),
            "worker": _text_told(canary, "worker"),
            "stale": canary.age_s > STALE_AFTER_S,
        },
    }


def _list_told(sign: Sign, name: str) -> list[object]:
    """Read a list that a sign tells; whoever can write to Redis can tell anything."""
    told = sign.told.get(name)
    return told if isinstance(told, list) else []


def _text_told(sign: Sign, name: str) -> str | None:
    """Read a text that a sign tells, as above."""
    told = sign.told.get(name)
    return told if isinstance(told, str) else None


def _paused(pause: Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {
        "reason": pause.reason,
        "by": pause.paused_by,
        "at": pause.paused_at,
        "passes": pause.passes,
    }


def _due(item: Backlog, *, now: datetime) -> dict[str, Any]:
    age = now - item.oldest_at if item.oldest_at else None
    return {
        "task": item.task,
        "rows": item.rows,
        "oldest_at": item.oldest_at,
        "oldest_age_s": round(age.total_seconds(), 1) if age is not None else None,
    }
