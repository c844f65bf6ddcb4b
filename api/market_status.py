"""The state of the market side over HTTP: exchanges, holidays, budget, breaker, plan, watchlist."""

from datetime import UTC, date, datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.deps import AppSettings, CacheRedis, Reads
from api.market_answers import NOT_MODIFIED, send
from infra.cache import Cache
from infra.db import transact
from infra.errors import Transient
from infra.redis import Client, RedisDown
from infra.settings import Settings
from infra.sharing.budget import CallBudget, Limits
from infra.sharing.refusals import Refusals
from market import status, watchlist
from market.documents import instant, pack_own
from market.questions import Market
from market.status import Source
from market.wants import DOMAIN, PROVIDER

router = APIRouter(prefix="/market", tags=["market"])


class ExchangeOut(BaseModel):
    """Whether an exchange is open, and when that changes."""

    exchange: str = Field(description="`US` for equities, `FOREX`, `CRYPTO`.")
    session: str = Field(description="`pre-market`, `regular`, `post-market` or `closed`.")
    is_open: bool = Field(description="True in the regular session.")
    next_open: datetime | None = Field(description="None where it never closes.")
    next_close: datetime | None = Field(description="None where it never closes.")
    holiday: str | None = Field(description="Today's, in New York.")
    timezone: str | None
    told_by: Literal["provider", "calendar"] = Field(
        description="Who says so: the provider a moment ago, or our calendar and clock."
    )


class HolidayOut(BaseModel):
    """A day without trading, or with an early close."""

    date: date
    name: str
    closes: str | None = Field(description="When trading ends, in New York; None if it rests.")


class LaneOut(BaseModel):
    """The calls of one lane."""

    calls_left: int = Field(description="What it may spend now of the minute.")
    calls_last_minute: int
    calls_ever: int


class BreakerOut(BaseModel):
    """Whether calls are held back because the provider wants none."""

    state: Literal["open", "closed"]
    reason: str | None = Field(description="`rate_limited` or `key_refused`.")
    closes_in_s: float


class BudgetOut(BaseModel):
    """The one budget of calls that all processes share."""

    per_minute: int
    per_second: int
    calls_left: int
    lanes: dict[str, LaneOut]
    answers: dict[str, int] = Field(description="What became of calls, since Redis was filled.")
    breaker: BreakerOut


class ClosedOut(BaseModel):
    """What the key's plan was found to lack."""

    what: str = Field(description="An endpoint and a class of symbols.")
    for_s: int = Field(description="How long we go by that before we try again.")


class StatusOut(BaseModel):
    """The state of the market side."""

    at: datetime
    source: Source = Field(description="Where figures come from; `unknown` until a worker says.")
    exchanges: list[ExchangeOut]
    holidays: list[HolidayOut] = Field(description="The next ones in the United States.")
    budget: BudgetOut | None = Field(description="None while Redis cannot be reached.")
    not_in_plan: list[ClosedOut]
    watchlist_size: int | None = Field(description="None while the database cannot be reached.")


@router.get("/status", response_model=StatusOut, responses=NOT_MODIFIED)
def get_status(
    request: Request, settings: AppSettings, cache: CacheRedis, reads: Reads
) -> Response:
    """Tell which exchanges are open, what is left of the budget, and what the plan lacks.

    Causes no call; what cannot be read is null.
    """
    market: Market = request.app.state.market
    budget = budget_of(settings, cache)
    provider = status.look_at_provider(budget, Refusals(cache, name=DOMAIN))
    shown = {
        "at": instant(datetime.now(UTC)),
        "source": _read_source(cache),
        "exchanges": status.describe_exchanges(market.hours),
        "holidays": status.describe_holidays(market.hours),
        "budget": provider.spending and status.describe_budget(budget, provider.spending),
        "not_in_plan": [{"what": one.what, "for_s": one.for_s} for one in provider.closed],
        "watchlist_size": _count_watched(settings, reads),
    }
    return send(request, pack_own(shown))


def budget_of(settings: Settings, cache: Client) -> CallBudget:
    """Open the budget for looking at it; this process makes no calls."""
    limits = Limits(settings.finnhub_per_minute, settings.finnhub_per_second)
    return CallBudget(cache, name=PROVIDER, limits=limits)


def _read_source(cache: Client) -> Source:
    try:
        return status.read_source(Cache(cache).find(status.SOURCE_KEY))
    except RedisDown:
        return "unknown"


def _count_watched(settings: Settings, reads: Reads) -> int | None:
    try:
        return transact(
            reads,
            lambda session: len(watchlist.list_entries(session, configured=settings.watchlist)),
        )
    except Transient:
        return None
