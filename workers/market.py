"""Refresh market data: what people wait for, and what is watched."""

from functools import cache

from infra import redis
from infra.cache import Cache
from infra.logs import log
from infra.sharing.budget import CallBudget, Limits
from infra.sharing.refusals import Refusals
from infra.sharing.wanted import Wanted
from market import drain, status, watchlist
from market.entitlements import Plan
from market.finnhub import Finnhub
from market.refresh import Desk
from market.wants import DOMAIN, PROVIDER
from workers import deps
from workers.bells import ring
from workers.events import publish
from workers.task import task

# The watchlist's beat entry has the same interval: the share of the budget follows from it.
WATCHLIST_EVERY_S = 10.0


@cache
def desk() -> Desk:
    """Build what a refresh works with; only in the process that runs the tasks."""
    settings = deps.settings()
    client = redis.connect(settings.cache)
    limits = Limits(settings.finnhub_per_minute, settings.finnhub_per_second)
    return Desk(
        sessions=deps.database().sessions,
        finnhub=Finnhub(settings.finnhub_url, key=settings.finnhub_key),
        budget=CallBudget(client, name=PROVIDER, limits=limits),
        plan=Plan(Refusals(client, name=DOMAIN)),
        wanted=Wanted(client, name=DOMAIN),
        cache=Cache(client),
        source=settings.market_source,
    )


@task(name="market.refresh", queue="market", time_limit_s=60)
def refresh() -> None:
    """Refresh what is wanted, for at most five seconds; ring again if there may be more.

    Delivered at least once: a second run finds the set empty, or what came in since.
    """
    done = drain.drain(desk())
    if done.served:
        log.info("market_refreshed", served=done.served, changed=done.changed)
    ring(*([publish] if done.changed else []), *([refresh] if done.left else []))


@task(name="market.refresh_watchlist", queue="market", time_limit_s=60)
def refresh_watchlist() -> None:
    """Want what is due of the watched, have it refreshed, and say where it all comes from.

    Delivered at least once: a second run finds that the turn has been taken.
    """
    settings = deps.settings()
    status.publish_source(desk().cache, settings.market_source)
    wanted = watchlist.want_due(
        desk(),
        symbols=settings.watchlist,
        per_minute=settings.finnhub_per_minute,
        every_s=WATCHLIST_EVERY_S,
    )
    if wanted:
        ring(refresh)
