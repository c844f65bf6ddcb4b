from datetime import UTC, datetime, timedelta

import pytest

from market.hours import Hours, Told
from market.sessions import Session, next_close, next_open, session_at
from market.symbols import SymbolClass


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("2026-11-18T08:59", Session.CLOSED),
        ("2026-11-18T09:00", Session.PRE_MARKET),
        ("2026-11-18T14:30", Session.REGULAR),
        ("2026-11-18T21:00", Session.POST_MARKET),
        ("2026-11-19T01:00", Session.CLOSED),
        ("2026-11-21T15:00", Session.CLOSED),
        ("2026-07-15T13:30", Session.REGULAR),
    ],
)
def test_equities_go_by_new_yorks_hours(at: str, session: Session) -> None:
    assert session_at(SymbolClass.EQUITY, utc(at)) is session


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("2026-11-20T21:59", Session.REGULAR),
        ("2026-11-20T22:00", Session.CLOSED),
        ("2026-11-21T12:00", Session.CLOSED),
        ("2026-11-22T22:00", Session.REGULAR),
    ],
)
def test_currencies_rest_over_the_weekend(at: str, session: Session) -> None:
    assert session_at(SymbolClass.FOREX, utc(at)) is session


def test_coins_never_rest() -> None:
    assert session_at(SymbolClass.CRYPTO, utc("2026-11-21T12:00")) is Session.REGULAR


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("2026-11-26T16:00", Session.CLOSED),  # Thanksgiving
        ("2026-11-27T17:59", Session.REGULAR),  # the day after, which closes at one
        ("2026-11-27T18:00", Session.POST_MARKET),
        ("2026-11-27T22:00", Session.CLOSED),
        ("2026-12-25T16:00", Session.CLOSED),
        # New York changes its clocks on 8 March and 1 November, Greenwich does not.
        ("2026-03-06T14:29", Session.PRE_MARKET),
        ("2026-03-06T14:30", Session.REGULAR),
        ("2026-03-09T13:29", Session.PRE_MARKET),
        ("2026-03-09T13:30", Session.REGULAR),
        ("2026-10-30T13:30", Session.REGULAR),
        ("2026-11-02T13:30", Session.PRE_MARKET),
        ("2026-11-02T14:30", Session.REGULAR),
    ],
)
def test_holidays_and_the_clocks_of_summer_count(at: str, session: Session) -> None:
    assert session_at(SymbolClass.EQUITY, utc(at)) is session


@pytest.mark.parametrize(
    ("symbol_class", "at", "opens", "closes"),
    [
        (SymbolClass.EQUITY, "2026-11-25T22:00", "2026-11-27T14:30", "2026-11-27T18:00"),
        (SymbolClass.EQUITY, "2026-11-27T15:00", "2026-11-30T14:30", "2026-11-27T18:00"),
        (SymbolClass.EQUITY, "2026-03-06T22:00", "2026-03-09T13:30", "2026-03-09T20:00"),
        (SymbolClass.FOREX, "2026-11-21T12:00", "2026-11-22T22:00", "2026-11-27T22:00"),
        (SymbolClass.FOREX, "2026-03-07T12:00", "2026-03-08T21:00", "2026-03-13T21:00"),
    ],
)
def test_the_next_opening_and_close_are_told(
    symbol_class: SymbolClass, at: str, opens: str, closes: str
) -> None:
    assert next_open(symbol_class, utc(at)) == utc(opens)
    assert next_close(symbol_class, utc(at)) == utc(closes)


def test_coins_neither_open_nor_close() -> None:
    assert next_open(SymbolClass.CRYPTO, utc("2026-11-21T12:00")) is None


def test_the_providers_word_wins_while_it_is_young() -> None:
    sunday = utc("2026-11-22T12:00")
    hours = Hours(told=Told(Session.REGULAR, sunday))

    minutes = (1, 9, 11)
    sessions = [
        hours.session(SymbolClass.EQUITY, sunday + timedelta(minutes=after)) for after in minutes
    ]

    assert sessions == [Session.REGULAR, Session.REGULAR, Session.CLOSED]


def test_the_providers_word_does_not_outlive_a_turn_of_the_clock() -> None:
    hours = Hours(told=Told(Session.REGULAR, utc("2026-11-18T20:58")))

    assert hours.session(SymbolClass.EQUITY, utc("2026-11-18T20:59")) is Session.REGULAR
    assert hours.session(SymbolClass.EQUITY, utc("2026-11-18T21:00")) is Session.POST_MARKET
