"""Take the money of due payments."""

import time
from datetime import timedelta

from structlog.contextvars import unbind_contextvars

from infra import failpoints
from infra.db import transact
from infra.events.teller import Teller
from infra.logs import log
from shop import settlement, webhooks
from shop.settlement import Settler
from workers import deps, lingering
from workers.bells import ring, ring_in_time
from workers.events import find_teller, publish_left
from workers.lingering import is_called_again
from workers.orders import fulfil
from workers.task import task

# Goods need not leave in a moment: a run for many costs hardly more than one for one.
FULFIL_EVERY_S = 0.25
QUEUE = "payments"


@task(name="payments.settle", queue=QUEUE)
def settle() -> None:
    """Charge payments that are due, in batches, for about five seconds, and stay a moment for more.

    Delivered at least once: a second run finds nothing due, or only what the first has not claimed.
    """
    stays_until = time.monotonic() + lingering.STAY_S
    while _settle():
        unbind_contextvars("rung_by")
        if time.monotonic() > stays_until or not is_called_again(settle.name, queue=QUEUE):
            break


def _settle() -> int:
    """Charge what is due, tell of it, and have it fulfilled; return how many were settled."""
    teller = find_teller()
    settled = settlement.settle_due(_settler(teller))
    if settled:
        failpoints.reach("payments.settled")
        log.info("payments_settled", count=settled)
        publish_left(teller)
        ring_in_time(fulfil, most_s=FULFIL_EVERY_S)
    return settled


@task(name="payments.forget_webhooks", queue=QUEUE)
def forget_webhooks() -> None:
    """Delete the inbox's events that came long ago.

    Delivered at least once: what is gone is not found again.
    """
    forgotten = webhooks.forget(deps.database().sessions)
    if forgotten:
        log.info("webhooks_forgotten", count=forgotten)


def _settler(teller: Teller | None) -> Settler:
    return Settler(
        sessions=deps.database().sessions,
        gateway=deps.gateway(),
        ring_again=lambda: ring(settle),
        fulfilment_delay=timedelta(seconds=deps.settings().fulfilment_delay_s),
        write=transact if teller is None else teller.transact,
    )
