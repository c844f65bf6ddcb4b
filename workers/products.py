"""Bring the catalogue in line with the supplier's feed."""

from infra.logs import log
from shop import sync
from workers import deps
from workers.bells import ring
from workers.events import publish
from workers.task import task


@task(name="products.sync", queue="products")
def sync_products() -> None:
    """Run the syncs that were asked for; an empty catalogue asks for its first one by itself.

    Delivered at least once: a run has one holder at a time, and the same feed changes nothing.
    """
    done = sync.run_requested(deps.database().sessions, deps.supplier())
    if done:
        log.info("syncs_run", count=done)
        ring(publish)
