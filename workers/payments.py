"""Take the money of due payments."""

from datetime import timedelta

from infra import failpoints
from infra.logs import log
from shop import settlement, webhooks
from shop.settlement import Settler
from shop.stock import Handover
from workers import deps
from workers.bells import ring, ring_in_time
from workers.events import publish_here
from workers.orders import fulfil
from workers.task import task

# Goods need not leave in a moment: a run for many costs hardly more than one for one.
FULFIL_EVERY_S = 0.25


@task(name="payments.settle", queue="payments")
def settle() -> None:
    """Charge payments that are due, in batches, for about five seconds.

    Delivered at least once: a second run finds nothing due, or only what the first has not claimed.
    """
    settled = settlement.settle_due(_settler())
    if settled:
        failpoints.reach("payments.settled")
        log.info("payments_settled", count=settled)
        publish_here()
        ring_in_time(fulfil, most_s=FULFIL_EVERY_S)


@task(name="payments.forget_webhooks", queue="payments")
def forget_webhooks() -> None:
    """Delete the inbox's events that came long ago.

    Delivered at least once: what is gone is not found again.
    """
    forgotten = webhooks.forget(deps.database().sessions)
    if forgotten:
        log.info("webhooks_forgotten", count=forgotten)


def _settler() -> Settler:
    settings = deps.settings()
    return Settler(
        sessions=deps.database().sessions,
        gateway=deps.gateway(),
        ring_again=lambda: ring(settle),
        handover=Handover(
            timedelta(seconds=settings.fulfilment_delay_s), settings.low_stock_threshold
        ),
    )
