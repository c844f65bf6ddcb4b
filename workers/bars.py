"""Roll stored quotes up into bars, and let go what is older than it is kept."""

from datetime import timedelta
from functools import cache

from infra.logs import log
from market import rolling
from market.rolling import Retention
from workers import deps
from workers.task import task

# People wait for the tasks behind these: what is left is done at the next tick.
ROLL_S = 0.5
PRUNE_S = 1.0


@cache
def retention() -> Retention:
    """Read how long quotes and bars are kept."""
    settings = deps.settings()
    return Retention(
        quotes=timedelta(days=settings.quote_retention_days),
        minute_bars=timedelta(days=settings.minute_bar_retention_days),
        hour_bars=timedelta(days=settings.hour_bar_retention_days),
    )


@task(name="market.roll_up", queue="market", time_limit_s=60)
def roll_up() -> None:
    """Put new quotes into their minute and hour bars, for at most half a second.

    Delivered at least once: the mark of a symbol moves with its bars, so no quote is counted twice.
    """
    done = rolling.roll_up(deps.database(), run_s=ROLL_S)
    if done.left:
        log.info("quotes_rolled_up", rows=done.rows, left=done.left)


@task(name="market.prune", queue="market", time_limit_s=60)
def prune() -> None:
    """Delete quotes and bars that are older than they are kept, for at most a second.

    Delivered at least once: a second run finds less to delete, and nothing that is in no bar.
    """
    done = rolling.prune(deps.database(), retention(), run_s=PRUNE_S)
    if done.rows:
        log.info("quotes_pruned", rows=done.rows, left=done.left)
