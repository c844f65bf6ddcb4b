"""Bring the catalogue in line with the supplier's feed."""

from infra.logs import log
from shop import sync
from workers import deps
from workers.bells import ring
from workers.events import publish
from workers.task import task


# Longer than the largest feed takes, shorter than the broker's visibility time-out.
@task(name="products.sync", queue="products", time_limit_s=240)
def sync_products() -> None:
    """Run the syncs that were asked for, and the one that is due every so often.

    Delivered at least once: a run has one holder at a time, and the same feed changes nothing.
    """
    done = sync.run_requested(deps.database().sessions, deps.supplier())
    if done:
        log.info("syncs_run", count=done)
        ring(publish)
