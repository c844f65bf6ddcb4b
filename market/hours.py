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
        if symbol_class is SymbolClass.EQUITY and self.told is not None and self.trusts_told(at):
            return self.told.session
        return session_at(symbol_class, at, calendar=self.calendar)

    def trusts_told(self, at: datetime) -> bool:
        """Tell whether the provider's word holds for an instant: near, and no session turned."""
        if self.told is None or abs(at - self.told.at) >= TOLD_FOR:
            return False
        return not self.turned_between(self.told.at, at)

    def turned_between(self, one: datetime, other: datetime) -> bool:
        """Tell whether by the clock equities are in different sessions at two instants."""
        before, after = (
            session_at(SymbolClass.EQUITY, at, calendar=self.calendar) for at in (one, other)
        )
        return before is not after
