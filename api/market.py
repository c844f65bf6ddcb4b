"""Quotes, companies, news, currencies and coins over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import access
from api.deps import Collaborators
from api.errors import problems
from api.from_memory import HEADERS, JSON, FromMemory
from api.paging import Paging
from infra import redis
from infra.asking import Asking
from infra.companion import beside
from infra.errors import Invalid
from infra.fanout import Entry
from market import freshness, news
from market.events import EventType
from market.news import GENERAL, Span
from market.questions import Market
from market.reading import MarketTimedOut, TooManyNewSymbols
from market.symbols import (
    InvalidCurrency,
    InvalidSymbol,
    parse_crypto,
    parse_currency,
    parse_symbol,
)
from market.upstream import UnknownSymbol, UpstreamFailed
from market.wants import DOMAIN
from workers.bells import ring
from workers.market import refresh

router = APIRouter(prefix="/market", tags=["market"])
_quotes = APIRouter(route_class=FromMemory)

_REDIS_TIMEOUT_S = 1.0
_DEFAULT_DAYS = timedelta(days=7)
_MOST_DAYS = 366
_LONGEST_AGE_S = 86_400
_FIRST_YEAR, _LAST_YEAR = 1980, 2100
_QUOTES = frozenset({EventType.QUOTE_UPDATED, EventType.CRYPTO_UPDATED})
_PROBLEMS = problems(
    UnknownSymbol, InvalidSymbol, TooManyNewSymbols, UpstreamFailed, MarketTimedOut
)

Symbol = Annotated[str, Query(description="As in AAPL, BINANCE:BTCUSDT, OANDA:EUR_USD.")]
MaxAge = Annotated[
    int,
    Query(ge=0, le=_LONGEST_AGE_S, description="How long ago it may have been confirmed, in s."),
]


class InvalidDays(Invalid):
    """The days cannot be."""

    code = "invalid_days"

    def __init__(self) -> None:
        super().__init__(f"`from` must not be after `to`, nor more than {_MOST_DAYS} days before.")


class Freshness(BaseModel):
    """What every answer says of itself."""

    as_of: datetime = Field(description="The provider's time of the figures.")
    fetched_at: datetime = Field(description="When the provider last confirmed them.")
    age_s: int = Field(description="Seconds since `as_of`.")
    source: str = Field(description="`finnhub`, `simulated` or `stored`.")
    stale: bool = Field(description="True if they could not be refreshed when they should be.")
    session: str = Field(description="`pre-market`, `regular`, `post-market` or `closed`.")


class QuoteOut(Freshness):
    """A quote under Finnhub's keys."""

    symbol: str
    c: float = Field(description="Current price.")
    d: float | None = Field(description="Change from the previous close.")
    dp: float | None = Field(description="Change in percent.")
    h: float = Field(description="High of the day.")
    l: float = Field(description="Low of the day.")  # noqa: E741 - the provider's name
    o: float = Field(description="Open.")
    pc: float = Field(description="Previous close.")
    t: int = Field(description="The provider's time, unix seconds.")


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


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[None]:
    """Listen for refreshed answers while the application serves, and keep quotes in memory."""
    kept: Collaborators = app.state.collaborators
    client = redis.connect_async(kept.settings.cache, timeout_s=_REDIS_TIMEOUT_S)
    asking = Asking(client, name=DOMAIN, ring=lambda: ring(refresh))
    market = Market(asking=asking, reads=kept.database.reads)

    def hear(entry: Entry) -> None:
        if entry.type in _QUOTES:
            market.board.apply(entry.data)

    app.state.market = market
    app.state.entry_listeners = (*getattr(app.state, "entry_listeners", ()), hear)
    try:
        async with beside(asking.listen()):
            yield
    finally:
        await client.aclose()


@_quotes.get("/quote", response_model=QuoteOut, responses=_PROBLEMS)
async def get_quote(
    request: Request, symbol: Symbol, max_age_s: MaxAge = freshness.QUOTE_S
) -> Response:
    """Tell what a symbol of any class trades at."""
    return await _quote(request, parse_symbol(symbol), max_age_s)


@router.get("/crypto", response_model=QuoteOut, responses=_PROBLEMS)
async def get_crypto(
    request: Request, symbol: Symbol = "BTC", max_age_s: MaxAge = freshness.QUOTE_S
) -> Response:
    """Tell what a coin trades at: `BTC`, `BTCUSDT` or `BINANCE:BTCUSDT`."""
    return await _quote(request, parse_crypto(symbol), max_age_s)


@router.get("/company", response_model=CompanyOut, responses=_PROBLEMS)
async def get_company(request: Request, symbol: Symbol) -> Response:
    """Tell about a company; market value and shares are in millions."""
    market: Market = request.app.state.market
    document = await market.company(parse_symbol(symbol), asker=await _stranger(request))
    return Response(orjson.dumps(document), headers=HEADERS, media_type=JSON)


@router.get("/forex", response_model=ForexOut, responses=_PROBLEMS | problems(InvalidCurrency))
async def get_forex(
    request: Request,
    base: Annotated[str, Query(description="Three letters, as in USD.")] = "USD",
    max_age_s: MaxAge = freshness.FOREX_S,
) -> Response:
    """Tell what one unit of a currency buys of others."""
    market: Market = request.app.state.market
    document = await market.forex(
        parse_currency(base), max_age_s=max_age_s, asker=await _stranger(request)
    )
    return Response(orjson.dumps(document), headers=HEADERS, media_type=JSON)


@router.get("/news", response_model=list[ArticleOut], responses=_PROBLEMS | problems(InvalidDays))
async def list_news(
    request: Request,
    response: Response,
    page: Paging,
    symbol: Annotated[str | None, Query(description="Left out: news of no company.")] = None,
    first: Annotated[date | None, Query(alias="from", description="Seven days ago.")] = None,
    last: Annotated[date | None, Query(alias="to", description="Today.")] = None,
) -> Any:  # noqa: ANN401 - the response model says it
    """List news, newest first; headers tell their `Age`, source and whether they are stale."""
    market: Market = request.app.state.market
    feed, span = GENERAL if symbol is None else parse_symbol(symbol), _span(first, last)
    found = await market.news(
        feed,
        span,
        rows=lambda session: news.list_stored(
            session, feed=feed, span=span, limit=page.fetch, below=page.below
        ),
        asker=await _stranger(request),
    )
    response.headers["Age"] = str(found.about["age_s"])
    response.headers["X-Market-Source"] = str(found.about["source"])
    response.headers["X-Market-Stale"] = str(found.about["stale"]).lower()
    return [news.document(article) for article in page.show(found.articles, key=news.key)]


router.include_router(_quotes)


async def _quote(request: Request, symbol: str, max_age_s: int) -> Response:
    market: Market = request.app.state.market
    body = market.find_quote(symbol, max_age_s=max_age_s)
    if body is None:
        body = await market.quote(symbol, max_age_s=max_age_s, asker=await _stranger(request))
    return Response(body, headers=HEADERS, media_type=JSON)


async def _stranger(request: Request) -> str | None:
    """Tell the address of a caller whom we do not know; None for those we do."""
    kept: Collaborators = request.app.state.collaborators
    caller = await access.resolve(
        request,
        mode=kept.settings.auth_mode,
        reads=kept.database.reads,
        signing=kept.gate.signing,
    )
    if caller is not None:
        return None
    return request.client.host if request.client else "unknown"


def _span(first: date | None, last: date | None) -> Span:
    last = last or datetime.now(UTC).date()
    if not _FIRST_YEAR <= last.year <= _LAST_YEAR:
        raise InvalidDays
    first = first or last - _DEFAULT_DAYS
    if not timedelta(0) <= last - first <= timedelta(days=_MOST_DAYS):
        raise InvalidDays
    return Span(first, last)
