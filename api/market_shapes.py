"""What the market's calls take and give: parameters and response models that several share."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.errors import problems
from market.reading import MarketTimedOut, TooManyNewSymbols
from market.symbols import InvalidSymbol
from market.upstream import UnknownSymbol, UpstreamFailed

_LONGEST_AGE_S = 86_400

PROBLEMS = problems(UnknownSymbol, InvalidSymbol, TooManyNewSymbols, UpstreamFailed, MarketTimedOut)
"""What every call that may cause a refresh can answer with."""

SYMBOLS = "As in AAPL, BINANCE:BTCUSDT, OANDA:EUR_USD."
Symbol = Annotated[str, Query(description=SYMBOLS)]
MaxAge = Annotated[
    int | None,
    Query(
        ge=0,
        le=_LONGEST_AGE_S,
        description="How many seconds ago the provider may have confirmed it; left out, what is "
        "usual for its kind. Callers who are not signed in cannot ask for less than that.",
    ),
]


class Freshness(BaseModel):
    """What every answer says of itself."""

    as_of: datetime = Field(description="The provider's time of the figures.")
    fetched_at: datetime = Field(description="When the provider last confirmed them.")
    age_s: int = Field(description="Seconds since `as_of`.")
    source: str = Field(description="`finnhub`, `simulated` or `stored`.")
    stale: bool = Field(description="True if they could not be refreshed when they should be.")
    session: str = Field(description="`pre-market`, `regular`, `post-market` or `closed`.")


class FiguresOut(BaseModel):
    """The figures of a quote under Finnhub's keys."""

    c: float = Field(description="Price.")
    d: float | None = Field(description="Change from the previous close.")
    dp: float | None = Field(description="Change in percent.")
    h: float = Field(description="High of the day.")
    l: float = Field(description="Low of the day.")  # noqa: E741 - the provider's name
    o: float = Field(description="Open.")
    pc: float = Field(description="Previous close.")
    t: int = Field(description="The provider's time, unix seconds.")


class QuoteOut(FiguresOut, Freshness):
    """A quote under Finnhub's keys."""

    symbol: str


class Failure(BaseModel):
    """Why one of several things could not be answered, as a problem of its own would say it."""

    status: int = Field(examples=[404])
    code: str = Field(examples=["unknown_symbol"])
    detail: str
    retry_after_s: int | None = Field(default=None, description="Ask again after these seconds.")


class QuoteFailed(BaseModel):
    """A symbol without a quote."""

    symbol: str
    error: Failure


class CompanyOut(Freshness):
    """A company's profile, with whatever keys Finnhub gives it."""

    model_config = ConfigDict(extra="allow")

    symbol: str
    name: str


class ForexOut(Freshness):
    """Exchange rates: what one unit of `base` buys."""

    base: str
    quote: dict[str, float]
    via: str = Field(description="The endpoint they come from: the table, or single pairs.")
    complete: bool = Field(description="False while pairs are still being fetched.")


class ArticleOut(BaseModel):
    """An article under Finnhub's keys; `source` is its publisher."""

    id: int
    category: str
    datetime: int
    headline: str
    summary: str
    url: str
    image: str
    related: str
    source: str
