"""What the cache holds is believed only if it is an answer of ours."""

from typing import Any

import pytest

from market.cached import is_answer, is_quote
from market.wants import Kind, Want

FETCHED: dict[str, Any] = {
    "as_of": "2026-11-20T21:00:00Z",
    "fetched_at": "2026-11-22T10:00:00.5Z",
    "source": "s",
}
QUOTE = FETCHED | {
    "symbol": "AAPL", "c": 187.25, "d": None, "dp": -1, "h": 1, "l": 1, "o": 1, "pc": 1, "t": 1
}  # fmt: skip
COMPANY = FETCHED | {"symbol": "AAPL", "name": "Apple Inc"}
FOREX = FETCHED | {"base": "USD", "quote": {"EUR": 0.9}, "via": "/quote", "complete": False}
MATCH = {"symbol": "AAPL", "displaySymbol": "AAPL", "description": "", "type": ""}
SEARCH = FETCHED | {"query": "APPLE", "result": [MATCH]}

QUOTE_WANT, COMPANY_WANT = Want(Kind.QUOTE, "AAPL"), Want(Kind.COMPANY, "AAPL")
FOREX_WANT, SEARCH_WANT = Want(Kind.FOREX, "USD"), Want(Kind.SEARCH, "APPLE")
NEWS_WANT = Want(Kind.NEWS, "general")


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("document", "want"),
    [
        (QUOTE, QUOTE_WANT),
        (COMPANY | {"weburl": None, "ipo": 1980}, COMPANY_WANT),
        (FOREX, FOREX_WANT),
        (FETCHED, NEWS_WANT),
        (SEARCH, SEARCH_WANT),
    ],
)
def test_what_a_refresh_leaves_is_an_answer(document: dict[str, Any], want: Want) -> None:
    assert is_answer(document, want)


@pytest.mark.parametrize(
    ("document", "want"),
    [
        ({}, QUOTE_WANT),
        ({key: value for key, value in QUOTE.items() if key != "fetched_at"}, QUOTE_WANT),
        ({key: value for key, value in QUOTE.items() if key != "t"}, QUOTE_WANT),
        (QUOTE | {"c": "187.25"}, QUOTE_WANT),
        (QUOTE | {"c": None}, QUOTE_WANT),
        (QUOTE | {"t": "now"}, QUOTE_WANT),
        (QUOTE | {"symbol": "MSFT"}, QUOTE_WANT),
        (QUOTE | {"as_of": 7}, QUOTE_WANT),
        (QUOTE | {"as_of": "1763800000"}, QUOTE_WANT),
        (QUOTE | {"fetched_at": "2026-11-22T10:00:00"}, QUOTE_WANT),
        (QUOTE | {"fetched_at": "yesterday"}, QUOTE_WANT),
        (QUOTE | {"source": None}, QUOTE_WANT),
        (COMPANY | {"symbol": ["AAPL"]}, COMPANY_WANT),
        (COMPANY | {"name": nested(300)}, COMPANY_WANT),
        (FOREX | {"quote": ["EUR"]}, FOREX_WANT),
        (FOREX | {"complete": "no"}, FOREX_WANT),
        (FETCHED | {"as_of": None}, NEWS_WANT),
        (SEARCH | {"result": [{}]}, SEARCH_WANT),
        (SEARCH | {"result": None}, SEARCH_WANT),
    ],
)
def test_what_is_of_another_shape_is_none(document: dict[str, Any], want: Want) -> None:
    assert not is_answer(document, want)


def test_event_of_another_symbol_is_not_the_quote_of_its_subject() -> None:
    assert is_quote(QUOTE, of="quotes/AAPL")
    assert not is_quote(QUOTE, of="quotes/MSFT")
