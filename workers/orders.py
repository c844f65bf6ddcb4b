"""Fulfil paid orders; end those that are never paid."""

from datetime import timedelta

from infra.logs import log
from shop import cancellation, fulfilment
from workers import deps
from workers.bells import ring
from workers.events import publish, publish_here
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
        publish_here()
        ring(settle_refunds)


@task(name="orders.expire", queue="payments")
def expire() -> None:
    """Release the stock of orders that were not paid in time.

    Delivered at least once: an order is pending only once.
    """
    ttl = timedelta(seconds=deps.settings().reservation_ttl_s)
    expired = cancellation.expire_due(deps.database().sessions, ttl=ttl)
    if expired:
        log.info("orders_expired", count=expired)
        ring(publish)
