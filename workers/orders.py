"""Fulfil paid orders."""

from infra.logs import log
from shop import fulfilment
from workers import deps
from workers.bells import ring
from workers.events import publish
from workers.refunds import settle as settle_refunds
from workers.task import task


@task(name="orders.fulfil", queue="payments")
def fulfil() -> None:
    """Complete paid orders whose delay is over, or begin their refund.

    Delivered at least once: an order leaves the list of due ones in the transaction of its effect.
    """
    fulfilled = fulfilment.fulfil_due(deps.database().sessions)
    if fulfilled:
        log.info("orders_fulfilled", count=fulfilled)
        ring(publish, settle_refunds)
