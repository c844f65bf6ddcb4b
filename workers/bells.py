"""Ring a task after a commit. A bell that does not ring makes work late, never lost."""

import time

from kombu.exceptions import OperationalError

from infra.logs import log
from infra.metrics import bells_failed, bells_rung
from infra.redis import RedisDown
from workers import deps
from workers.task import Bell

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
