"""The history of tasks over HTTP: what was asked for, what failed, and having it tried again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, status
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from api.deps import Kept, Operator, Reads, RoleRequired, RowId, Sessions, TokenRequired
from api.errors import problems
from api.paging import BadCursor, Paging
from infra.jobs import tasks
from infra.jobs.tasks import Filter, TaskNotFailed, TaskNotFound, TaskState
from shop.refund_requests import RefundTooLarge
from workers import retries

router = APIRouter(prefix="/tasks", tags=["operations"])


def _refuse_numbers(value: object) -> object:
    # pydantic would take one, however it is written, for the seconds since 1970.
    try:
        float(str(value))
    except ValueError:
        return value
    msg = "write it as 2026-11-22T12:00:00Z"
    raise ValueError(msg)


Instant = Annotated[AwareDatetime, BeforeValidator(_refuse_numbers)]


class TaskOut(BaseModel):
    """A task, or one thing that a task took up; `arguments` say which."""

    id: int
    task_id: str = Field(description="Celery's id, as Flower and the logs have it.")
    name: str
    queue: str
    state: TaskState
    arguments: dict[str, Any]
    request_id: str | None = Field(description="The request that asked for it.")
    worker: str | None
    tries: int
    started_at: datetime
    ended_at: datetime | None
    runtime_ms: int | None
    error: str | None
    version: int


class TaskDetails(TaskOut):
    """A task with its traceback, in which secrets are hidden."""

    traceback: str | None


@router.get(
    "", response_model=list[TaskOut], responses=problems(TokenRequired, RoleRequired, BadCursor)
)
def list_tasks(
    _caller: Operator,
    reads: Reads,
    page: Paging,
    state: Annotated[TaskState | None, Query(description="Only those that stand so.")] = None,
    name: Annotated[str | None, Query(max_length=80, description="Only this task.")] = None,
    since: Annotated[
        Instant | None, Query(description="Only those seen since then (with a zone).")
    ] = None,
) -> Sequence[dict[str, Any]]:
    """List tasks that somebody asked for or that failed, newest first. Operators only."""
    wanted = Filter(state=state, name=name, since=since)
    with reads() as session:
        rows = tasks.list_page(session, wanted, below_id=page.below, limit=page.fetch)
    return page.show(rows, key=lambda row: int(row["id"]))


@router.get(
    "/{run_id}",
    response_model=TaskDetails,
    responses=problems(TokenRequired, RoleRequired, TaskNotFound),
)
def get_task(run_id: RowId, _caller: Operator, reads: Reads) -> dict[str, Any]:
    """Show a task with its traceback. Operators only."""
    with reads() as session:
        return tasks.get(session, run_id)


@router.post(
    "/{run_id}/retry",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=TaskDetails,
    responses=problems(TokenRequired, RoleRequired, TaskNotFound, TaskNotFailed, RefundTooLarge),
)
def retry_task(run_id: RowId, caller: Operator, kept: Kept, sessions: Sessions) -> dict[str, Any]:
    """Have a failed task tried again; the same wish again changes nothing. Operators only.

    What it did is asked for anew and gets a task of its own; a plain bell is rung, and its next
    run ends this task.
    """
    return retries.retry(kept.database.sessions, run_id, audited=sessions, by=caller.user_id)
