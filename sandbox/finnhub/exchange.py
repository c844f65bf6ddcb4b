"""When the US exchange is open: always, as told, or by New York's hours and holidays."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from sandbox.finnhub.instruments import Kind

NEW_YORK = ZoneInfo("America/New_York")
EARLY_CLOSE = "09:30-13:00"
_MONDAY, _THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 0, 3, 4, 5, 6
_FOREX_WEEK_TURNS_AT = time(17)


class Session(StrEnum):
    """The parts of a trading day, in the provider's words."""

    PRE = "pre-market"
    REGULAR = "regular"
    POST = "post-market"


class Hours(StrEnum):
    """What the exchange goes by."""

    ALWAYS_OPEN = "always"
    CLOCK = "clock"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day without trading, or with an early close."""

    at: date
    name: str
    trading_hour: str = ""

    def public(self) -> dict[str, str]:
        """Return the holiday as the provider writes it."""
        return {
            "atDate": self.at.isoformat(),
            "eventName": self.name,
            "tradingHour": self.trading_hour,
        }


class Exchange:
    """The stand-in's US exchange.

    It never closes unless told to, so that a demonstration moves at any hour of any day.
    """

    def __init__(self) -> None:
        self.hours = Hours.ALWAYS_OPEN
        self._closed_at = 0.0

    def switch(self, hours: Hours, *, now: float) -> None:
        """Go by other hours from now on."""
        self.hours = hours
        self._closed_at = now

    def session(self, now: float) -> Session | None:
        """Return the session at a unix time, None while closed."""
        if self.hours is Hours.ALWAYS_OPEN:
            return Session.REGULAR
        if self.hours is Hours.CLOSED:
            return None
        return _session(datetime.fromtimestamp(now, NEW_YORK))

    def is_trading(self, kind: Kind, at: float) -> bool:
        """Tell whether anything of a kind is traded at a unix time; coins always are.

        By the clock, stocks trade in the regular session and currencies from Sunday to Friday,
        both at five in the afternoon. What is open always or closed by hand are the stocks.
        """
        if kind is Kind.STOCK:
            return self.session(at) is Session.REGULAR
        if kind is Kind.FOREX and self.hours is Hours.CLOCK:
            return _is_forex_week(datetime.fromtimestamp(at, NEW_YORK))
        return True

    def holiday(self, now: float) -> str | None:
        """Return the name of today's holiday."""
        if self.hours is not Hours.CLOCK:
            return None
        found = _holidays_by_date(datetime.fromtimestamp(now, NEW_YORK).year)
        holiday = found.get(datetime.fromtimestamp(now, NEW_YORK).date())
        return holiday.name if holiday else None

    def last_trade_at(self, kind: Kind, now: float) -> float:
        """Return the unix time of the last trade of a kind: now, unless its session is over."""
        if self.is_trading(kind, now):
            return now
        if kind is Kind.FOREX:
            return _last_friday(datetime.fromtimestamp(now, NEW_YORK)).timestamp()
        if self.hours is Hours.CLOSED:
            return min(now, self._closed_at)
        return _last_close(datetime.fromtimestamp(now, NEW_YORK)).timestamp()


def list_holidays(year: int) -> list[Holiday]:
    """Return the New York exchange's holidays and early closes of a year, by date.

    Source: https://www.nyse.com/markets/hours-calendars (2024-11).
    """
    thanksgiving = _nth(year, 11, _THURSDAY, 4)
    closed = [
        # New Year's Day is not moved to a Friday of the year before.
        Holiday(_observed(date(year, 1, 1)), "New Year's Day"),
        Holiday(_nth(year, 1, _MONDAY, 3), "Birthday of Martin Luther King, Jr"),
        Holiday(_nth(year, 2, _MONDAY, 3), "Washington's Birthday"),
        Holiday(_easter(year) - timedelta(days=2), "Good Friday"),
        Holiday(_nth(year, 6, _MONDAY, 1) - timedelta(days=7), "Memorial Day"),
        Holiday(_observed(date(year, 6, 19)), "Juneteenth"),
        Holiday(_observed(date(year, 7, 4)), "Independence Day"),
        Holiday(_nth(year, 9, _MONDAY, 1), "Labor Day"),
        Holiday(thanksgiving, "Thanksgiving Day"),
        Holiday(_observed(date(year, 12, 25)), "Christmas"),
    ]
    taken = {holiday.at for holiday in closed}
    eves = [
        (date(year, 7, 3), "Independence Day"),
        (thanksgiving + timedelta(days=1), "Thanksgiving Day"),
        (date(year, 12, 24), "Christmas"),
    ]
    early = [
        Holiday(at, name, EARLY_CLOSE)
        for at, name in eves
        if at.weekday() < _SATURDAY and at not in taken
    ]
    kept = [holiday for holiday in closed if holiday.at.year == year]
    return sorted((*kept, *early), key=lambda holiday: holiday.at)


def _session(moment: datetime) -> Session | None:
    closes = _close_of(moment.date())
    if closes is None:
        return None
    clock = moment.time()
    if time(4) <= clock < time(9, 30):
        return Session.PRE
    if time(9, 30) <= clock < closes:
        return Session.REGULAR
    return Session.POST if closes <= clock < time(20) else None


def _last_close(moment: datetime) -> datetime:
    day = moment.date()
    while True:
        closes = _close_of(day)
        if closes is not None:
            ends = datetime.combine(day, closes, NEW_YORK)
            if ends <= moment:
                return ends.astimezone(UTC)
        day -= timedelta(days=1)


def _is_forex_week(moment: datetime) -> bool:
    day, clock = moment.weekday(), moment.time()
    if day == _SUNDAY:
        return clock >= _FOREX_WEEK_TURNS_AT
    return day < _FRIDAY or (day == _FRIDAY and clock < _FOREX_WEEK_TURNS_AT)


def _last_friday(moment: datetime) -> datetime:
    day = moment.date() - timedelta(days=(moment.weekday() - _FRIDAY) % 7)
    return datetime.combine(day, _FOREX_WEEK_TURNS_AT, NEW_YORK)


def _close_of(day: date) -> time | None:
    if day.weekday() >= _SATURDAY:
        return None
    holiday = _holidays_by_date(day.year).get(day)
    if holiday is None:
        return time(16)
    return time(13) if holiday.trading_hour else None


def _holidays_by_date(year: int) -> dict[date, Holiday]:
    return {holiday.at: holiday for holiday in list_holidays(year)}


def _observed(day: date) -> date:
    if day.weekday() == _SATURDAY:
        return day - timedelta(days=1)
    return day + timedelta(days=1) if day.weekday() == _SUNDAY else day


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _easter(year: int) -> date:
    """Return Easter Sunday by Gauss's rule, right from 1900 to 2099."""
    moon = (19 * (year % 19) + 24) % 30
    sunday = (2 * (year % 4) + 4 * (year % 7) + 6 * moon + 5) % 7
    late = moon + sunday == 35 or (moon == 28 and sunday == 6 and year % 19 > 10)  # noqa: PLR2004
    return date(year, 3, 22) + timedelta(days=moon + sunday - 7 * late)
