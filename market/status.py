"""What the market side does as a whole: who is open, what is left of the budget, what is closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from infra.cache import Cache
from infra.errors import Transient
from infra.sharing.budget import CallBudget, Lane, Spending
from infra.sharing.refusals import Closed, Refusals
from market.documents import Document, instant
from market.hours import Hours
from market.sessions import Session, new_york, next_close, next_open
from market.symbols import SymbolClass
from market.wants import DOMAIN

Source = Literal["finnhub", "simulated", "unknown"]

SOURCE_KEY = f"{DOMAIN}:source"
_SOURCE_LIFE_S = 30 * 24 * 3600
_HOLIDAYS_SHOWN = 10
_EXCHANGES: Mapping[str, SymbolClass] = {
    "US": SymbolClass.EQUITY,
    "FOREX": SymbolClass.FOREX,
    "CRYPTO": SymbolClass.CRYPTO,
}


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of the provider's readiness; None where Redis cannot tell."""

    spending: Spending | None
    closed: tuple[Closed, ...]


def publish_source(cache: Cache, source: str) -> None:
    """Say where figures come from: only who holds the key knows whether there is one.

    Raises:
        RedisDown: nobody hears it.
    """
    cache.put(SOURCE_KEY, {"source": source}, life_s=_SOURCE_LIFE_S)


def read_source(published: Mapping[str, object] | None) -> Source:
    """Read what a worker has published; `unknown` until one has."""
    told = (published or {}).get("source")
    if told == "finnhub":
        return "finnhub"
    return "simulated" if told == "simulated" else "unknown"


def look_at_provider(budget: CallBudget, refusals: Refusals) -> Provider:
    """Look at what is left of the budget and at what the plan is known to lack."""
    try:
        return Provider(budget.look(), tuple(refusals.list_closed()))
    except Transient:
        return Provider(None, ())


def describe_exchanges(hours: Hours, *, now: datetime | None = None) -> list[Document]:
    """Tell of each exchange whether it is open, since whose word, and when that changes."""
    now = now or datetime.now(UTC)
    return [_describe(name, symbol_class, hours, now) for name, symbol_class in _EXCHANGES.items()]


def describe_holidays(hours: Hours, *, now: datetime | None = None) -> list[Document]:
    """List the next holidays and early closes of the exchanges of the United States."""
    today = (now or datetime.now(UTC)).astimezone(new_york()).date()
    return [
        {
            "date": holiday.at.isoformat(),
            "name": holiday.name,
            "closes": holiday.closes.isoformat("minutes") if holiday.closes else None,
        }
        for holiday in hours.calendar.list_from(today, limit=_HOLIDAYS_SHOWN)
    ]


def describe_budget(budget: CallBudget, spending: Spending) -> Document:
    """Tell what is left of the budget, lane by lane, and whether the breaker is open."""
    limits = budget.limits
    return {
        "per_minute": limits.per_minute,
        "per_second": limits.per_second,
        "calls_left": spending.left[Lane.INTERACTIVE],
        "lanes": {
            lane.value: {
                "calls_left": spending.left[lane],
                "calls_last_minute": spending.in_window[lane],
                "calls_ever": spending.granted[lane],
            }
            for lane in Lane
        },
        "answers": dict(spending.answered),
        "breaker": {
            "state": "open" if spending.paused_s > 0 else "closed",
            "reason": spending.reason,
            "closes_in_s": spending.paused_s,
        },
    }


def _describe(name: str, symbol_class: SymbolClass, hours: Hours, now: datetime) -> Document:
    session = hours.session(symbol_class, now)
    opens = next_open(symbol_class, now, calendar=hours.calendar)
    closes = next_close(symbol_class, now, calendar=hours.calendar)
    told = symbol_class is SymbolClass.EQUITY and hours.trusts_told(now)
    holiday = hours.calendar.find(now.astimezone(new_york()).date())
    return {
        "exchange": name,
        "session": session,
        "is_open": session is Session.REGULAR,
        "next_open": instant(opens) if opens else None,
        "next_close": instant(closes) if closes else None,
        "holiday": holiday.name if holiday and symbol_class is SymbolClass.EQUITY else None,
        "timezone": None if symbol_class is SymbolClass.CRYPTO else new_york().key,
        "told_by": "provider" if told else "calendar",
    }
