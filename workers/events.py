"""Mirror committed events onto the streams, and let old ones go."""

from infra.errors import Transient
from infra.events import relay, retention
from infra.logs import log
from workers import deps, valves
from workers.bells import ring
from workers.task import task

BUDGET_S = 5.0
QUEUE = "events"


@task(name="events.publish", queue=QUEUE)
def publish() -> None:
    """Give committed events their numbers and put them on their streams, for about five seconds.

    Delivered at least once: a second run finds the streams level, or adds behind their last ids.
    """
    done = relay.run(deps.relay(), budget_s=BUDGET_S)
    if done.added:
        log.info("events_published", count=done.added)
    if done.left:
        ring(publish)


def publish_here() -> None:
    """Send the few events that this run has committed, and ring for whatever else there is.

    It spares them a message's way through the broker, and the wait for a process that is free.
    Nothing depends on it: the sweep publishes too.
    """
    is_left = True
    try:
        if valves.is_open(QUEUE):
            is_left = relay.send_few(deps.relay()).left
    except Transient as error:
        log.warning("events_not_published", error=type(error).__name__)
    if is_left:
        ring(publish)


@task(name="events.trim", queue=QUEUE)
def trim() -> None:
    """Take what is too old or too much off the streams, for about five seconds.

    Delivered at least once: a second run finds nothing to take.
    """
    done = retention.trim(deps.retention(), budget_s=BUDGET_S)
    if done.removed:
        log.info("streams_trimmed", count=done.removed)
    if done.left:
        ring(trim)


@task(name="events.prune", queue=QUEUE)
def prune() -> None:
    """Delete event rows that are older than they need be, for about five seconds.

    Delivered at least once: a second run finds none.
    """
    done = retention.prune(deps.retention(), budget_s=BUDGET_S)
    if done.removed:
        log.info("events_pruned", count=done.removed)
    if done.left:
        ring(prune)
