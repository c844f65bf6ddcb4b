"""Keep the history of tasks true and short."""

from datetime import timedelta

from infra.jobs import tasks
from infra.logs import log
from workers import deps
from workers.task import task

# The longest hard time limit, and time for a worker to say how it ended.
_LONGEST_RUN = timedelta(minutes=15)


@task(name="tasks.tidy", queue="events")
def tidy() -> None:
    """Fail what a killed worker has left behind, and delete what is older than it is kept.

    Delivered at least once: what is deleted or failed is not found again.
    """
    sessions, keep = deps.database().sessions, deps.settings().task_retention_days
    lost = tasks.lose_overdue(sessions, older_than=_LONGEST_RUN)
    pruned = tasks.prune(sessions, keep=timedelta(days=keep))
    if lost or pruned:
        log.info("tasks_tidied", lost=lost, pruned=pruned)
