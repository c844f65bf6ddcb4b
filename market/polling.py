"""Which of the watched things to ask for now: each at the pace of its session, within the budget.

Pure: the instant, the hours and what is known of each thing are arguments.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from market.hours import Hours
from market.sessions import Session
from market.symbols import SymbolClass, class_of
from market.wants import Kind, Want

# How often a symbol is asked for, in seconds. What rests is looked at now and then, because the
# provider corrects closing prices, and because our own idea of its hours may be wrong.
EVERY_S = {
    Session.REGULAR: 20,
    Session.PRE_MARKET: 60,
    Session.POST_MARKET: 60,
    Session.CLOSED: 1800,
}
RESTING_FOREX_S = 3600
# What describes the market itself.
STATUS_EVERY_S = 5 * 60
HOLIDAYS_EVERY_S = 24 * 3600
SYMBOLS_EVERY_S = 7 * 24 * 3600
# A tick is not punctual to the second: what is due by the next one is due now.
_LEEWAY_S = 1.0
_NEVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Watch:
    """Something that is kept fresh: asked for every `every_s`, and at once if `turned`."""

    want: str
    every_s: float
    last_at: datetime | None = None
    turned: bool = False

    def lateness(self, now: datetime) -> float:
        """Return how late it is, in turns that it has missed; below zero while it is not due."""
        waited_s = _NEVER_S if self.last_at is None else (now - self.last_at).total_seconds()
        if self.turned:
            return max(0.0, waited_s / self.every_s)
        return (waited_s + _LEEWAY_S) / self.every_s - 1


def watch_quote(symbol: str, *, last_at: datetime | None, hours: Hours, now: datetime) -> Watch:
    """Watch a symbol at the pace of its session.

    When a session ends or begins the symbol is due at once, so that the closing price is not that
    of half a minute before.
    """
    symbol_class = class_of(symbol)
    session = hours.session(symbol_class, now)
    every_s = EVERY_S[session]
    if symbol_class is SymbolClass.FOREX and session is Session.CLOSED:
        every_s = RESTING_FOREX_S
    turned = last_at is not None and session is not hours.session(symbol_class, last_at)
    return Watch(Want(Kind.QUOTE, symbol).text, every_s, last_at, turned)


def watch_status(*, last_at: datetime | None, hours: Hours, now: datetime) -> Watch:
    """Watch what the exchange does: every five minutes, and when a session should have turned."""
    turned = last_at is not None and hours.turned_between(last_at, now)
    return Watch(Want(Kind.STATUS, "US").text, STATUS_EVERY_S, last_at, turned)


def choose(watched: Iterable[Watch], *, now: datetime, limit: int) -> list[Watch]:
    """Choose what is due, the latest by its own pace first.

    Turns that were missed are not made up for: whatever is due is asked for once.
    """
    late = [(one.lateness(now), one) for one in watched]
    due = [(lateness, one) for lateness, one in late if lateness >= 0]
    due.sort(key=lambda pair: pair[0], reverse=True)
    return [one for _, one in due[:limit]]
