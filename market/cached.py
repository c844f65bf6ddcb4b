"""Cached answers, looked at before they are believed.

Whoever can write to Redis, or an older version of ours, may have left anything under our keys.
What is no answer to the want counts as none: the next refresh writes over it.
"""

from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter

# Pydantic takes no shape of the standard library's own before Python 3.12.
from typing_extensions import TypedDict

from market.documents import Document, parse_instant
from market.payloads import CompanyData, ForexData, QuoteData
from market.wants import Kind, Want


class NewsMark(TypedDict):
    """That a feed was fetched: the articles themselves are in the tables."""

    as_of: datetime
    fetched_at: datetime
    source: str


class MatchData(TypedDict):
    """A symbol that a search has found, under the provider's keys."""

    symbol: str
    displaySymbol: str
    description: str
    type: str


class SearchData(TypedDict):
    """What a search has found."""

    query: str
    result: list[MatchData]
    as_of: datetime
    fetched_at: datetime
    source: str


_SHAPES: dict[Kind, TypeAdapter[Any]] = {
    Kind.QUOTE: TypeAdapter(QuoteData),
    Kind.COMPANY: TypeAdapter(CompanyData),
    Kind.FOREX: TypeAdapter(ForexData),
    Kind.NEWS: TypeAdapter(NewsMark),
    Kind.SEARCH: TypeAdapter(SearchData),
}
_NAMED_BY = {Kind.QUOTE: "symbol", Kind.COMPANY: "symbol", Kind.FOREX: "base"}


def is_quote(document: Document, *, of: str) -> bool:
    """Tell whether an event's data are the quote of its subject, such as `quotes/AAPL`."""
    return is_answer(document, Want(Kind.QUOTE, of.removeprefix("quotes/")))


def is_answer(document: Document, want: Want) -> bool:
    """Tell whether a document that was found somewhere can be shown as the answer to a want."""
    try:
        _SHAPES[want.kind].validate_json(orjson.dumps(document), strict=True)
        # Pydantic also takes instants of no time zone, and numbers for instants.
        is_dated = all(parse_instant(document[name]).tzinfo for name in ("as_of", "fetched_at"))
    except (TypeError, ValueError):  # too deep to be written as JSON again, or of another shape
        return False
    named_by = _NAMED_BY.get(want.kind)
    return is_dated and (named_by is None or document[named_by] == want.subject)
