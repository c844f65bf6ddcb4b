from decimal import Decimal

import orjson
import sqlalchemy as sa

from infra.db import Database, transact
from infra.outbox import Event
from market import companies
from market.quotes import Saved

APPLE: dict[str, object] = {
    "name": "Apple Inc",
    "ticker": "AAPL",
    "shareOutstanding": Decimal("4375.47998046875"),
}


def save(database: Database, profile: dict[str, object]) -> Saved:
    return transact(
        database.sessions,
        lambda session: companies.save(session, symbol="AAPL", profile=profile, source="finnhub"),
    )


def count_events(database: Database) -> int:
    with database.reads() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Event)) or 0


def test_a_profile_keeps_the_providers_keys_and_digits(each_database: Database) -> None:
    saved = save(each_database, APPLE)

    shown = orjson.dumps(saved.document)
    assert saved.document["name"] == "Apple Inc"
    assert b'"shareOutstanding":4375.47998046875' in shown
    assert count_events(each_database) == 1


def test_the_same_profile_again_is_no_event(database: Database) -> None:
    save(database, APPLE)

    saved = save(database, dict(reversed(APPLE.items())))

    assert not saved.changed
    assert count_events(database) == 1


def test_a_changed_profile_is_an_event(database: Database) -> None:
    save(database, APPLE)

    saved = save(database, {**APPLE, "name": "Apple Incorporated"})

    assert saved.changed
    assert count_events(database) == 2


def test_what_was_saved_is_found(database: Database) -> None:
    saved = save(database, APPLE)

    with database.reads() as session:
        assert companies.find_stored(session, "AAPL") == saved.document
        assert companies.find_stored(session, "MSFT") is None
