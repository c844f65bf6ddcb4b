from datetime import UTC, datetime
from decimal import Decimal

import sqlalchemy as sa

from infra.db import Database, transact
from infra.outbox import Event
from market import forex
from market.forex import VIA_QUOTES, VIA_RATES, Rates
from market.models import ForexRate
from market.quotes import Saved

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PRICES = {"EUR_USD": Decimal("1.0842"), "USD_JPY": Decimal("152.31")}


def save(database: Database, rates: dict[str, str], *, via: str = VIA_RATES) -> Saved:
    by_currency = {currency: Decimal(rate) for currency, rate in rates.items()}
    return transact(
        database.sessions,
        lambda session: forex.save(
            session, base="USD", rates=Rates(by_currency, via, NOON), source="finnhub"
        ),
    )


def stored_rates(database: Database) -> dict[str, Decimal]:
    with database.reads() as session:
        return {row.currency: row.rate for row in session.scalars(sa.select(ForexRate))}


def test_rates_of_the_dollar_follow_from_its_pairs() -> None:
    rates = forex.cross("USD", PRICES)

    assert rates == {
        "USD": Decimal(1),
        "EUR": Decimal("0.9223390518"),
        "JPY": Decimal("152.31"),
    }


def test_rates_of_another_base_follow_from_two_pairs() -> None:
    rates = forex.cross("EUR", PRICES)

    assert rates == {
        "EUR": Decimal(1),
        "USD": Decimal("1.0842"),
        "JPY": Decimal("165.134502"),
    }


def test_without_its_own_pair_a_base_has_no_rates() -> None:
    assert forex.cross("GBP", PRICES) is None
    assert forex.cross("USD", {}) is None


def test_a_bases_own_pair_comes_first() -> None:
    assert forex.pairs_for("GBP")[0] == "GBP_USD"
    assert forex.pairs_for("SEK")[0] == "USD_SEK"


def test_rates_are_stored_with_their_event(each_database: Database) -> None:
    saved = save(each_database, {"EUR": "0.91", "JPY": "114.583548"})

    assert saved.changed
    assert stored_rates(each_database) == {"EUR": Decimal("0.91"), "JPY": Decimal("114.583548")}


def test_the_same_rates_again_are_no_event(database: Database) -> None:
    save(database, {"EUR": "0.91"})

    saved = save(database, {"EUR": "0.910"})

    with database.reads() as session:
        assert len(list(session.scalars(sa.select(Event)))) == 1
    assert not saved.changed


def test_a_partial_table_fills_up(database: Database) -> None:
    save(database, {"EUR": "0.91"}, via=VIA_QUOTES)
    saved = save(database, {"JPY": "150"}, via=VIA_QUOTES)

    assert stored_rates(database).keys() == {"EUR", "JPY"}
    assert saved.document["complete"] is False


def test_another_source_begins_a_new_table(database: Database) -> None:
    save(database, {"EUR": "0.91", "JPY": "150"}, via=VIA_QUOTES)

    save(database, {"EUR": "0.92"}, via=VIA_RATES)

    assert stored_rates(database) == {"EUR": Decimal("0.92")}
