"""What this process holds to be the trading hours: the provider's word while young, else ours.

Filled from the tables by whoever needs it; empty, it goes by rule and clock.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from market.holidays import BY_RULE, Calendar
from market.sessions import Session, session_at
from market.symbols import SymbolClass

# The provider is asked every five minutes and after each turn of the clock.
TOLD_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Told:
    """The session of equities in the provider's word, and when it gave it."""

    session: Session
    at: datetime


@dataclass(slots=True)
class Hours:
    """The trading hours as known now."""

    calendar: Calendar = BY_RULE
    told: Told | None = None

    def session(self, symbol_class: SymbolClass, at: datetime | None = None) -> Session:
        """Tell the session of an instant, which is now unless given."""
        at = at or datetime.now(UTC)
        by_clock = session_at(symbol_class, at, calendar=self.calendar)
        if symbol_class is not SymbolClass.EQUITY or not self.trusts_told(at):
            return by_clock
        assert self.told is not None  # noqa: S101 - trusts_told has looked
        return self.told.session

    def trusts_told(self, at: datetime) -> bool:
        """Tell whether the provider's word still holds: it is young, and no session has turned."""
        if self.told is None or not timedelta(0) <= at - self.told.at < TOLD_FOR:
            return False
        before = session_at(SymbolClass.EQUITY, self.told.at, calendar=self.calendar)
        return before is session_at(SymbolClass.EQUITY, at, calendar=self.calendar)
