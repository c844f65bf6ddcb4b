from datetime import UTC, datetime

import pytest

from market.sessions import Session, session_at
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
