"""Which part of the trading day it is, by the clock of New York."""

from datetime import datetime, time
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo

from market.symbols import SymbolClass

_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
_FOREX_WEEK_TURNS_AT = time(17)


class Session(StrEnum):
    """The parts of a trading day, in the provider's words; it says null for `closed`."""

    PRE_MARKET = "pre-market"
    REGULAR = "regular"
    POST_MARKET = "post-market"
    CLOSED = "closed"


def session_at(symbol_class: SymbolClass, at: datetime) -> Session:
    """Tell the session of an instant: coins trade always, currencies from Sunday to Friday evening.

    Equities go by the hours of New York's exchanges; holidays are not known here.

    Source: https://www.nyse.com/markets/hours-calendars, 2026-11.
    """
    if symbol_class is SymbolClass.CRYPTO:
        return Session.REGULAR
    local = at.astimezone(_new_york())
    if symbol_class is SymbolClass.FOREX:
        return _forex_session(local)
    return _equity_session(local)


def _forex_session(local: datetime) -> Session:
    day, clock = local.weekday(), local.time()
    closed = (
        day == _SATURDAY
        or (day == _FRIDAY and clock >= _FOREX_WEEK_TURNS_AT)
        or (day == _SUNDAY and clock < _FOREX_WEEK_TURNS_AT)
    )
    return Session.CLOSED if closed else Session.REGULAR


def _equity_session(local: datetime) -> Session:
    clock = local.time()
    if local.weekday() >= _SATURDAY or not time(4) <= clock < time(20):
        return Session.CLOSED
    if clock < time(9, 30):
        return Session.PRE_MARKET
    return Session.REGULAR if clock < time(16) else Session.POST_MARKET


@cache
def _new_york() -> ZoneInfo:
    return ZoneInfo("America/New_York")
