from datetime import date, time

import pytest

from market.holidays import BY_RULE, Calendar, Holiday

MOURNING = Holiday(date(2025, 1, 9), "National Day of Mourning")


@pytest.mark.parametrize(
    ("day", "closes"),
    [
        ("2024-01-01", None),
        ("2024-03-29", None),  # Good Friday
        ("2024-06-19", None),
        ("2024-07-03", time(13)),
        ("2024-11-28", None),
        ("2024-11-29", time(13)),
        ("2024-12-24", time(13)),
        ("2025-04-18", None),
        ("2026-07-03", None),  # the fourth is a Saturday
        ("2026-11-27", time(13)),
        ("2027-12-24", None),  # Christmas is a Saturday
    ],
)
def test_the_exchanges_rest_or_close_early_by_rule(day: str, closes: time | None) -> None:
    holiday = BY_RULE.find(date.fromisoformat(day))

    assert holiday is not None
    assert holiday.closes == closes


@pytest.mark.parametrize("day", ["2021-12-31", "2022-01-03", "2024-07-05", "2026-07-02"])
def test_other_days_are_usual(day: str) -> None:
    assert BY_RULE.find(date.fromisoformat(day)) is None


def test_a_short_list_of_the_providers_only_adds_to_the_rules() -> None:
    calendar = Calendar.of([MOURNING])

    assert calendar.find(MOURNING.at) is MOURNING
    assert calendar.find(date(2025, 12, 25)) is not None


def test_a_whole_year_of_the_providers_takes_the_rules_place() -> None:
    listed = [Holiday(date(2025, month, 9), "Ninth") for month in range(1, 11)]
    calendar = Calendar.of(listed)

    assert calendar.find(date(2025, 12, 25)) is None
    assert calendar.find(date(2026, 12, 25)) is not None


def test_the_next_holidays_are_listed() -> None:
    found = BY_RULE.list_from(date(2026, 11, 26), limit=3)

    assert [holiday.at.isoformat() for holiday in found] == [
        "2026-11-26",
        "2026-11-27",
        "2026-12-24",
    ]
