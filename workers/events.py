"""Mirror committed events onto the streams, and let old ones go."""

from infra.events import relay, retention
from infra.logs import log
from workers import deps
from workers.bells import ring
from workers.task import task

BUDGET_S = 5.0


@task(name="events.publish", queue="events")
def publish() -> None:
    """Give committed events their numbers and put them on their streams, for about five seconds.

    Delivered at least once: a second run finds the streams level, or adds behind their last ids.
    """
    done = relay.run(deps.relay(), budget_s=BUDGET_S)
    if done.added:
        log.info("events_published", count=done.added)
    if done.left:
        ring(publish)


@task(name="events.trim", queue="events")
def trim() -> None:
    """Take what is too old or too much off the streams, for about five seconds.

    Delivered at least once: a second run finds nothing to take.
    """
    done = retention.trim(deps.retention(), budget_s=BUDGET_S)
    if done.removed:
        log.info("streams_trimmed", count=done.removed)
    if done.left:
        ring(trim)


@task(name="events.prune", queue="events")
def prune() -> None:
    """Delete event rows that are older than they need be, for about five seconds.

    Delivered at least once: a second run finds none.
    """
    done = retention.prune(deps.retention(), budget_s=BUDGET_S)
    if done.removed:
        log.info("events_pruned", count=done.removed)
    if done.left:
        ring(prune)
