"""The shapes of what market events carry, under the provider's keys."""

from datetime import datetime

# Pydantic makes no schema of the standard library's own before Python 3.12.
from typing_extensions import TypedDict


class QuoteData(TypedDict):
    """A quote: current price, change, high, low, open, previous close, unix seconds."""

    symbol: str
    c: float
    d: float | None
    dp: float | None
    h: float
    l: float  # noqa: E741 - the provider's name
    o: float
    pc: float
    t: int
    as_of: datetime
    fetched_at: datetime
    source: str


class CompanyData(TypedDict):
    """A company's profile, with whatever other keys the provider gives it."""

    symbol: str
    as_of: datetime
    fetched_at: datetime
    source: str


class ForexData(TypedDict):
    """What one unit of `base` buys; `complete` is false while pairs are still being fetched."""

    base: str
    quote: dict[str, float]
    as_of: datetime
    fetched_at: datetime
    source: str
    via: str | None
    complete: bool


class ArticleData(TypedDict):
    """An article; `source` is its publisher, `datetime` unix seconds."""

    id: int
    category: str
    datetime: int
    headline: str
    summary: str
    url: str
    image: str
    related: str
    source: str
