"""Keep the history of tasks true and short."""

from datetime import timedelta

from infra.db import Sessions
from infra.jobs import left_behind, tasks
from infra.logs import log
from infra.redis import RedisDown
from infra.sharing.signs import WORKER_GONE_AFTER_S
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
    lost = _lose_what_was_left(sessions)
    pruned = tasks.prune(sessions, keep=timedelta(days=keep))
    if lost or pruned:
        log.info("tasks_tidied", lost=lost, pruned=pruned)


def _lose_what_was_left(sessions: Sessions) -> int:
    overdue = left_behind.lose_overdue(sessions, older_than=_LONGEST_RUN)
    try:
        signs = deps.presence().read()
    except RedisDown:
        return overdue  # nobody knows who lives
    living = [name for name, sign in signs.items() if sign.age_s < WORKER_GONE_AFTER_S]
    return overdue + left_behind.lose_of_the_gone(sessions, living=living)
