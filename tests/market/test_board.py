import time
from datetime import UTC, datetime, timedelta

import orjson

from market.board import QuoteBoard
from market.documents import Document, instant


def make_document(
    *, symbol: str = "AAPL", fetched: timedelta = timedelta(0), price: float = 1.5
) -> Document:
    now = datetime.now(UTC)
    return {
        "symbol": symbol,
        "c": price,
        "t": int(now.timestamp()) - 60,
        "as_of": instant(now - timedelta(seconds=60)),
        "fetched_at": instant(now + fetched),
        "source": "finnhub",
    }


def test_a_posted_quote_is_found_with_its_age() -> None:
    quotes = QuoteBoard()
    document = make_document()
    quotes.apply(document)

    posted = quotes.find("AAPL")

    assert posted is not None
    shown = orjson.loads(posted.ready().body)
    assert shown["c"] == 1.5
    assert shown["stale"] is False
    assert 60 <= shown["age_s"] <= int(time.time()) - int(str(document["t"]))


def test_what_comes_late_does_not_replace_what_is_newer() -> None:
    quotes = QuoteBoard()
    quotes.apply(make_document(price=2.0))

    quotes.apply(make_document(price=1.0, fetched=timedelta(seconds=-5)))

    posted = quotes.find("AAPL")
    assert posted is not None
    assert posted.document["c"] == 2.0


def test_freshness_counts_from_the_providers_confirmation() -> None:
    quotes = QuoteBoard()
    quotes.apply(make_document(fetched=timedelta(seconds=-200)))

    posted = quotes.find("AAPL")

    assert posted is not None
    assert posted.is_fresh(300)
    assert not posted.is_fresh(150)


def test_a_clock_that_runs_ahead_elsewhere_keeps_nothing_fresh_for_long() -> None:
    quotes = QuoteBoard()
    quotes.apply(make_document(fetched=timedelta(minutes=10)))

    posted = quotes.find("AAPL")

    assert posted is not None
    assert posted.confirmed_s <= time.monotonic()


def test_the_symbol_longest_without_news_makes_room() -> None:
    quotes = QuoteBoard(most_symbols=2)
    for symbol in ("A", "B"):
        quotes.apply(make_document(symbol=symbol))
    quotes.apply(make_document(symbol="A", fetched=timedelta(seconds=1)))

    quotes.apply(make_document(symbol="C"))

    assert quotes.find("B") is None
    assert quotes.find("A") is not None
