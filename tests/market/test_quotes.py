from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
import sqlalchemy as sa

from infra.db import Database, transact
from infra.outbox import Event
from market import quotes
from market.models import Instrument, Quote
from market.quotes import Saved
from market.upstream import BadAnswer
from tests.support.figures import make_figures

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def save(
    database: Database,
    at: datetime,
    *,
    symbol: str = "AAPL",
    price: str = "261.74",
    source: str = "finnhub",
    now: datetime = NOON,
) -> Saved:
    figures = make_figures(at, price=price)
    return transact(
        database.sessions,
        lambda session: quotes.save(
            session, symbol=symbol, figures=figures, source=source, now=now
        ),
    )


def events_of(database: Database) -> list[Event]:
    with database.reads() as session:
        return list(session.scalars(sa.select(Event).order_by(Event.id)))


def prices_of(database: Database, symbol: str = "AAPL") -> list[Decimal]:
    with database.reads() as session:
        return list(session.scalars(sa.select(Quote.price).where(Quote.symbol == symbol)))


def test_a_quote_is_stored_with_its_event(each_database: Database) -> None:
    saved = save(each_database, NOON, price="261.7400000000000001")

    (event,) = events_of(each_database)
    assert saved.changed
    assert prices_of(each_database) == [Decimal("261.7400000000000001")]
    assert (event.topic, event.type) == ("market.quotes", "quote.updated")
    assert (event.subject, event.version) == ("quotes/AAPL", 1)
    assert b'"c":261.7400000000000001,' in orjson.dumps(saved.document)
    assert orjson.loads(event.data) == orjson.loads(orjson.dumps(saved.document))


def test_the_same_provider_time_again_is_no_row_and_no_event(each_database: Database) -> None:
    save(each_database, NOON)

    saved = save(each_database, NOON, price="999", now=NOON + timedelta(seconds=20))

    assert not saved.changed
    assert prices_of(each_database) == [Decimal("261.74")]
    assert len(events_of(each_database)) == 1
    assert saved.document["fetched_at"] == "2026-11-20T12:00:20Z"


def test_versions_are_dense(each_database: Database) -> None:
    for seconds in (0, 1, 1, 2):
        save(each_database, NOON + timedelta(seconds=seconds))

    assert [event.version for event in events_of(each_database)] == [1, 2, 3]


def test_coins_are_published_on_their_own_topic(database: Database) -> None:
    save(database, NOON, symbol="BINANCE:BTCUSDT")

    (event,) = events_of(database)
    assert (event.topic, event.type) == ("market.crypto", "crypto.updated")


def test_a_quote_that_is_a_moment_behind_confirms_the_one_that_is_known(
    database: Database,
) -> None:
    save(database, NOON, price="10")

    saved = save(database, NOON - timedelta(seconds=3), price="9", now=NOON + timedelta(minutes=1))

    assert not saved.changed
    assert prices_of(database) == [Decimal(10)]
    assert saved.document["fetched_at"] == "2026-11-20T12:01:00Z"


@pytest.mark.parametrize(
    "offset", [timedelta(seconds=-16), timedelta(minutes=2), timedelta(days=-400)]
)
def test_a_time_that_cannot_be_is_kept_out(database: Database, offset: timedelta) -> None:
    save(database, NOON)

    with pytest.raises(BadAnswer):
        save(database, NOON + offset)

    assert len(events_of(database)) == 1
    assert prices_of(database) == [Decimal("261.74")]


def test_real_quotes_follow_simulated_ones_whatever_their_time(database: Database) -> None:
    save(database, NOON, source="simulated")

    save(database, NOON - timedelta(hours=16), price="250", source="finnhub")

    with database.reads() as session:
        stored = quotes.find_stored(session, "AAPL")
    assert stored is not None
    assert stored["source"] == "finnhub"
    assert stored["as_of"] == "2026-11-19T20:00:00Z"


def test_a_real_quote_of_the_same_time_replaces_a_simulated_one(database: Database) -> None:
    save(database, NOON, price="1", source="simulated")

    save(database, NOON, price="250", source="finnhub")

    assert prices_of(database) == [Decimal(250)]


def test_symbols_that_differ_in_case_are_different(database: Database) -> None:
    save(database, NOON, symbol="AAPL")
    save(database, NOON, symbol="aapl")

    with database.reads() as session:
        assert set(session.scalars(sa.select(Instrument.symbol))) == {"AAPL", "aapl"}


def test_nothing_is_found_of_a_symbol_nobody_asked_for(database: Database) -> None:
    with database.reads() as session:
        assert quotes.find_stored(session, "AAPL") is None
