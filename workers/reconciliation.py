"""Compare our books with the gateway's."""

from infra.logs import log
from shop import reconciliation
from workers import deps
from workers.task import task


@task(name="payments.reconcile", queue="payments", time_limit_s=600)
def reconcile() -> None:
    """Make the reports that were asked for, and yesterday's once the day is over.

    Delivered at least once: a day has one holder at a time, and comparing changes no money.
    """
    made = reconciliation.run_requested(deps.database().sessions, deps.gateway())
    if made:
        log.info("days_reconciled", count=made)
