"""Mirror committed events onto the streams."""

from infra import relay
from infra.logs import log
from workers import deps
from workers.task import task


@task(name="events.publish", queue="events")
def publish() -> None:
    """Give committed events their numbers and put them on their streams.

    Delivered at least once: a second run finds the streams level, or adds behind their last ids.
    """
    added = relay.publish(deps.relay())
    if added:
        log.info("events_published", count=added)
