"""The days on which New York's exchanges rest or close early: by rule, and as the provider says.

The rules need nobody. What the provider lists wins over them: it knows of days of mourning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import cache

EARLY_CLOSE = time(13)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6
# A list that has so many days of a year is whole; a shorter one only adds to the rules.
_WHOLE_YEAR = 8
_CENTURY_OF_GAUSS = 19
_LATE_MOON, _LATE_SUNDAY, _LATE_CYCLE = 28, 6, 10


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day without trading, or one on which it ends at `closes`, in New York's time."""

    at: date
    name: str
    closes: time | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The holidays of an exchange: those listed by the provider, and the rules for other years."""

    listed: Mapping[date, Holiday] = field(default_factory=dict)
    whole_years: frozenset[int] = frozenset()

    @classmethod
    def of(cls, holidays: Sequence[Holiday]) -> "Calendar":
        """Make a calendar of what the provider lists."""
        listed = {holiday.at: holiday for holiday in holidays}
        years = [at.year for at in listed]
        whole = frozenset(year for year in years if years.count(year) >= _WHOLE_YEAR)
        return cls(listed, whole)

    def find(self, day: date) -> Holiday | None:
        """Find the holiday of a day; None on a usual one."""
        if day in self.listed or day.year in self.whole_years:
            return self.listed.get(day)
        return _by_rule(day.year).get(day)

    def list_from(self, day: date, *, limit: int) -> list[Holiday]:
        """List the next holidays, the day itself included."""
        days = (day + timedelta(days=n) for n in range(366))
        found = [holiday for one in days if (holiday := self.find(one)) is not None]
        return found[:limit]


BY_RULE = Calendar()


@cache
def _by_rule(year: int) -> dict[date, Holiday]:
    """Compute a year's holidays and early closes.

    Source: https://www.nyse.com/markets/hours-calendars and NYSE rule 7.2, 2026-11.
    """
    thanksgiving = _nth(year, 11, _THURSDAY, 4)
    closed = [
        Holiday(_observed(date(year, 1, 1)), "New Year's Day"),
        Holiday(_nth(year, 1, _MONDAY, 3), "Martin Luther King, Jr. Day"),
        Holiday(_nth(year, 2, _MONDAY, 3), "Washington's Birthday"),
        Holiday(_easter(year) - timedelta(days=2), "Good Friday"),
        Holiday(_nth(year, 6, _MONDAY, 1) - timedelta(days=7), "Memorial Day"),
        Holiday(_observed(date(year, 6, 19)), "Juneteenth"),
        Holiday(_observed(date(year, 7, 4)), "Independence Day"),
        Holiday(_nth(year, 9, _MONDAY, 1), "Labor Day"),
        Holiday(thanksgiving, "Thanksgiving Day"),
        Holiday(_observed(date(year, 12, 25)), "Christmas Day"),
    ]
    # A New Year's Day on a Saturday is not moved: the exchange closes its books that Friday.
    days = {holiday.at: holiday for holiday in closed if holiday.at.year == year}
    eves = [
        Holiday(date(year, 7, 3), "Independence Day", EARLY_CLOSE),
        Holiday(thanksgiving + timedelta(days=1), "Thanksgiving Day", EARLY_CLOSE),
        Holiday(date(year, 12, 24), "Christmas Day", EARLY_CLOSE),
    ]
    early = {eve.at: eve for eve in eves if eve.at.weekday() < _SATURDAY}
    return {**early, **days}


def _observed(day: date) -> date:
    if day.weekday() == _SATURDAY:
        return day - timedelta(days=1)
    return day + timedelta(days=1) if day.weekday() == _SUNDAY else day


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _easter(year: int) -> date:
    """Compute Easter Sunday by Gauss' rule, right from 1900 to 2099."""
    cycle = year % _CENTURY_OF_GAUSS
    moon = (19 * cycle + 24) % 30
    sunday = (2 * (year % 4) + 4 * (year % 7) + 6 * moon + 5) % 7
    too_late = (moon + sunday == 35) or (  # noqa: PLR2004 - the rule's own numbers
        moon == _LATE_MOON and sunday == _LATE_SUNDAY and cycle > _LATE_CYCLE
    )
    return date(year, 3, 22) + timedelta(days=moon + sunday - 7 * too_late)
