"""Give money back."""

from infra.logs import log
from shop import repayments
from workers import deps
from workers.bells import ring
from workers.events import publish
from workers.task import task


@task(name="refunds.settle", queue="payments")
def settle() -> None:
    """Send refunds that are due.

    Delivered at least once: a refund has one holder at a time, and one key for ever.
    """
    settled = repayments.settle_due(
        deps.database().sessions, deps.gateway(), ring_again=lambda: ring(settle)
    )
    if settled:
        log.info("refunds_settled", count=settled)
        ring(publish)
