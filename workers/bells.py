"""Ring a task after a commit. A bell that does not ring makes work late, never lost."""

import time

from kombu.exceptions import OperationalError

from infra.logs import log
from infra.metrics import bells_failed, bells_rung
from infra.redis import RedisDown
from workers import deps
from workers.app import app
from workers.task import Bell
from workers.tasks import RETRY_OF

_QUIET_AFTER_FAILURE_S = 1.0
_quiet_until = 0.0


def ring(*bells: Bell) -> None:
    """Tell workers that there may be work; at most one message per task is under way.

    Never raises for a broken broker: the sweep finds the work. After a failure nothing is tried
    for a second, so that a dead broker does not slow down every request.
    """
    global _quiet_until  # noqa: PLW0603 - one breaker for the process
    if time.monotonic() < _quiet_until:
        return
    for bell in bells:
        try:
            if deps.bells().claim(bell.name):
                bell.apply_async()
                bells_rung.labels(bell.name).inc()
        except (RedisDown, OperationalError):
            _quiet_until = time.monotonic() + _QUIET_AFTER_FAILURE_S
            bells_failed.labels(bell.name).inc()
            log.warning("bell_failed", task=bell.name)
            return


def send(name: str, *, queue: str, retry_of: int | None = None) -> None:
    """Send a task one message of its own, which says which failed one it tries again.

    Never raises for a broken broker: what is due is swept, and a person can ask once more.
    """
    headers = {} if retry_of is None else {RETRY_OF: retry_of}
    try:
        app.send_task(name, queue=queue, headers=headers)
    except (RedisDown, OperationalError):
        bells_failed.labels(name).inc()
        log.warning("bell_failed", task=name)
