"""Beat's scheduler: it rings instead of sending, and says that it is alive."""

from contextlib import suppress
from typing import Any

from celery.beat import PersistentScheduler

from infra.redis import RedisDown
from workers import deps, heartbeat


class BellScheduler(PersistentScheduler):
    """Sends no second message while the first is under way: stopped workers find no heap."""

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - celery's
        """Send the entry's task, unless its bell has been rung and nobody has come yet."""
        try:
            if not deps.bells().claim(entry.task):
                return None
        except RedisDown:
            return None  # the broker is most likely down too; the next tick is a second away
        sent = super().apply_async(entry, *args, **kwargs)
        with suppress(RedisDown):
            deps.rung().leave(entry.name, task=entry.task)
        return sent

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401 - celery's
        """Touch the heartbeat and run one turn."""
        heartbeat.touch()
        return float(super().tick(*args, **kwargs))
