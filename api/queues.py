"""Queues over HTTP: what waits and is due, pausing and resuming, and the schedule."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, status
from pydantic import BaseModel, Field

from api.bodies import Body, Line
from api.deps import Kept, Operator, RoleRequired, Sessions, TokenRequired
from api.errors import problems
from infra.db import transact
from infra.jobs import queues
from infra.jobs.queues import REASON_LENGTH, QueueNotPaused
from workers.queues import QueueNotFound, Sources, check_name, list_all, list_schedule

router = APIRouter(tags=["operations"])

Name = Annotated[
    str, Path(max_length=40, examples=["payments"], description="As `GET /queues` has it.")
]


class PauseIn(Body):
    """Why the queue is paused."""

    reason: Annotated[Line, Field(max_length=REASON_LENGTH, examples=["The gateway is moving."])]


class PauseOut(BaseModel):
    """Why a queue is paused, and by which user; none is the command line."""

    reason: str
    by: int | None
    at: datetime
    passes: int = Field(description="How many tasks are let through all the same.")


class CanaryOut(BaseModel):
    """When a task last came through the queue, and which worker ran it."""

    at: datetime
    age_s: float
    worker: str | None
    stale: bool = Field(description="Three in a row did not come.")


class DueOut(BaseModel):
    """What a task of this queue would find now; more than 10000 rows are told as so many."""

    task: str
    rows: int
    oldest_at: datetime | None
    oldest_age_s: float | None


class QueueOut(BaseModel):
    """A queue; what Redis would have to say is null while it is away."""

    name: str
    depth: int | None = Field(description="Messages that wait; they carry no work.")
    oldest_message_age_s: float | None
    consumers: list[str] | None
    canary: CanaryOut | None
    paused: PauseOut | None
    due: list[DueOut]


class EntryOut(BaseModel):
    """Something that beat rings every so often; unknown until it has been rung."""

    name: str
    task: str
    every_s: float
    last_run_at: datetime | None
    next_run_at: datetime | None


def _sources(kept: Kept) -> Sources:
    return Sources(kept.database.reads, kept.broker, kept.cache)


def _one(kept: Kept, name: str) -> dict[str, Any]:
    return next(queue for queue in list_all(_sources(kept)) if queue["name"] == name)


@router.get(
    "/queues", response_model=list[QueueOut], responses=problems(TokenRequired, RoleRequired)
)
def list_queues(_caller: Operator, kept: Kept) -> list[dict[str, Any]]:
    """List the queues: what waits, who consumes it, what is due, what is paused. Operators only."""
    return list_all(_sources(kept))


@router.get(
    "/schedule", response_model=list[EntryOut], responses=problems(TokenRequired, RoleRequired)
)
def show_schedule(_caller: Operator, kept: Kept) -> list[dict[str, Any]]:
    """Show what is rung by the clock, when it last was, and when it will be. Operators only."""
    return list_schedule(_sources(kept))


@router.post(
    "/queues/{name}/pause",
    response_model=QueueOut,
    responses=problems(TokenRequired, RoleRequired, QueueNotFound),
)
def pause_queue(
    name: Name, body: PauseIn, caller: Operator, kept: Kept, sessions: Sessions
) -> dict[str, Any]:
    """Pause a queue: its tasks do nothing within a second, and what is due stays due.

    A task in hand is finished. The pause outlives every restart. Operators only.
    """
    check_name(name)
    transact(
        sessions,
        lambda session: queues.pause(session, name, reason=body.reason, by=caller.user_id),
    )
    return _one(kept, name)


@router.post(
    "/queues/{name}/resume",
    response_model=QueueOut,
    responses=problems(TokenRequired, RoleRequired, QueueNotFound),
)
def resume_queue(name: Name, _caller: Operator, kept: Kept, sessions: Sessions) -> dict[str, Any]:
    """Let a queue's tasks run again; the sweeps find what is due within seconds. Operators only."""
    check_name(name)
    transact(sessions, lambda session: queues.resume(session, name))
    return _one(kept, name)


@router.post(
    "/queues/{name}/canary",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=QueueOut,
    responses=problems(TokenRequired, RoleRequired, QueueNotFound, QueueNotPaused),
)
def let_one_through(
    name: Name, _caller: Operator, kept: Kept, sessions: Sessions
) -> dict[str, Any]:
    """Let one task of a paused queue run, to see whether it works again. Operators only."""
    check_name(name)
    transact(sessions, lambda session: queues.let_one_through(session, name))
    return _one(kept, name)
