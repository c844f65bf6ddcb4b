"""The events that tell of tasks, for operators."""

from typing import Any

# Pydantic makes no schema of the standard library's own before Python 3.12.
from typing_extensions import TypedDict

from infra.events.kinds import Kind, kinds

TOPIC = "tasks"


class TaskData(TypedDict):
    """A task as it was at this version; `task_id` is Celery's, `request_id` the request's."""

    id: int
    task_id: str
    name: str
    queue: str
    state: str
    arguments: dict[str, Any]
    request_id: str | None
    worker: str | None
    error: str | None
    version: int


KINDS: tuple[Kind, ...] = kinds(
    TOPIC,
    "tasks",
    TaskData,
    {
        "task.failed": "A task has failed; the same failure again is not told again.",
        "task.retried": "An operator lets it be tried again.",
        "task.done": "A task has done something, or works again.",
    },
)
