"""A canary for each queue: a task that only says that it was run, and by whom.

It goes the way of every other task, over beat, broker, worker and child, and also while its queue
is paused. When it is not heard any more, something on that way is broken.
"""

from celery import current_task

from infra.logs import log
from infra.redis import RedisDown
from workers import deps
from workers.app import app
from workers.task import Bell, task
from workers.tasks import worker_name

EVERY_S = 15.0


def _canary(queue: str) -> Bell:
    @task(name=f"canary.{queue}", queue=queue, runs_while_paused=True)
    def sing() -> None:
        """Say that the queue is consumed.

        Delivered at least once: a second run says it again.
        """
        info = current_task.request.delivery_info or {}
        came_by = str(info.get("routing_key") or queue)
        try:
            deps.canaries().leave(came_by, worker=worker_name())
        except RedisDown:
            log.warning("canary_not_heard", queue=came_by)

    return sing


CANARIES = {queue.name: _canary(queue.name) for queue in app.conf.task_queues}
