"""Which part of the trading day it is, by the clock of New York."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo

from market.holidays import BY_RULE, Calendar
from market.symbols import SymbolClass

_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
_FOREX_WEEK_TURNS_AT = time(17)
_PRE_OPENS, _OPENS, _CLOSES, _POST_CLOSES = time(4), time(9, 30), time(16), time(20)
# After an early close the late trading is shorter too.
_EARLY_POST_CLOSES = time(17)
_FAR_ENOUGH_DAYS = 15


class Session(StrEnum):
    """The parts of a trading day, in the provider's words; it says null for `closed`."""

    PRE_MARKET = "pre-market"
    REGULAR = "regular"
    POST_MARKET = "post-market"
    CLOSED = "closed"


def session_at(symbol_class: SymbolClass, at: datetime, *, calendar: Calendar = BY_RULE) -> Session:
    """Tell the session of an instant: coins trade always, currencies from Sunday to Friday evening.

    Equities go by the hours of New York's exchanges, whatever exchange their symbol names.

    Source: https://www.nyse.com/markets/hours-calendars, 2026-11.
    """
    if symbol_class is SymbolClass.CRYPTO:
        return Session.REGULAR
    local = at.astimezone(new_york())
    if symbol_class is SymbolClass.FOREX:
        return _forex_session(local)
    return _equity_session(local, calendar)


def next_open(
    symbol_class: SymbolClass, at: datetime, *, calendar: Calendar = BY_RULE
) -> datetime | None:
    """Find when the next regular session begins, after an instant; None where it never ends."""
    return _next_turn(symbol_class, at, calendar, opening=True)


def next_close(
    symbol_class: SymbolClass, at: datetime, *, calendar: Calendar = BY_RULE
) -> datetime | None:
    """Find when the present or next regular session ends; None where it never does."""
    return _next_turn(symbol_class, at, calendar, opening=False)


@cache
def new_york() -> ZoneInfo:
    """Return the time zone of the exchanges."""
    return ZoneInfo("America/New_York")


def _forex_session(local: datetime) -> Session:
    day, clock = local.weekday(), local.time()
    closed = (
        day == _SATURDAY
        or (day == _FRIDAY and clock >= _FOREX_WEEK_TURNS_AT)
        or (day == _SUNDAY and clock < _FOREX_WEEK_TURNS_AT)
    )
    return Session.CLOSED if closed else Session.REGULAR


def _equity_session(local: datetime, calendar: Calendar) -> Session:
    clock, closes = local.time(), _closes_at(local.date(), calendar)
    if closes is None:
        return Session.CLOSED
    post_closes = _POST_CLOSES if closes == _CLOSES else _EARLY_POST_CLOSES
    if not _PRE_OPENS <= clock < post_closes:
        return Session.CLOSED
    if clock < _OPENS:
        return Session.PRE_MARKET
    return Session.REGULAR if clock < closes else Session.POST_MARKET


def _closes_at(day: date, calendar: Calendar) -> time | None:
    """Find when the regular session of a day ends; None on a day without one."""
    if day.weekday() >= _SATURDAY:
        return None
    holiday = calendar.find(day)
    return _CLOSES if holiday is None else holiday.closes


def _next_turn(
    symbol_class: SymbolClass, at: datetime, calendar: Calendar, *, opening: bool
) -> datetime | None:
    if symbol_class is SymbolClass.CRYPTO:
        return None
    first = at.astimezone(new_york()).date()
    for n in range(_FAR_ENOUGH_DAYS):
        day = first + timedelta(days=n)
        clock = _turn_of(symbol_class, day, calendar, opening=opening)
        if clock is None:
            continue
        turn = datetime.combine(day, clock, new_york()).astimezone(UTC)
        if turn > at:
            return turn
    return None


def _turn_of(
    symbol_class: SymbolClass, day: date, calendar: Calendar, *, opening: bool
) -> time | None:
    if symbol_class is SymbolClass.FOREX:
        turns_on = _SUNDAY if opening else _FRIDAY
        return _FOREX_WEEK_TURNS_AT if day.weekday() == turns_on else None
    closes = _closes_at(day, calendar)
    return _OPENS if opening and closes is not None else closes
