"""Companies, news and currencies over HTTP, and what the market's calls share in one process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, FastAPI, Query, Request, Response

from api.deps import Collaborators
from api.errors import problems
from api.market_answers import NOT_MODIFIED, find_stranger, send
from api.market_metrics import collect
from api.market_shapes import PROBLEMS, ArticleOut, CompanyOut, ForexOut, MaxAge, Symbol
from api.market_status import budget_of
from api.paging import Paging
from infra import redis
from infra.companion import beside
from infra.errors import Invalid
from infra.events.entries import Entry
from infra.metrics import exported
from infra.sharing.asking import Asking
from infra.sharing.budget import Lane
from infra.sharing.refusals import Refusals
from market import news, stream_watch
from market.cached import is_quote
from market.documents import Document, Ready, confirmed_s_ago, pack, tag_of
from market.events import EventType
from market.news import GENERAL, Span
from market.questions import Market
from market.status import look_at_provider
from market.symbols import InvalidCurrency, parse_currency, parse_symbol
from market.wants import DOMAIN
from workers.bells import ring
from workers.market import refresh

router = APIRouter(prefix="/market", tags=["market"])

_REDIS_TIMEOUT_S = 1.0
_DEFAULT_DAYS = timedelta(days=7)
_MOST_DAYS = 366
_FIRST_YEAR, _LAST_YEAR = 1980, 2100
_QUOTES = frozenset({EventType.QUOTE_UPDATED, EventType.CRYPTO_UPDATED})
_KEEP_COMPANY_S, _KEEP_FOREX_S, _KEEP_NEWS_S = 300, 5, 15


class InvalidDays(Invalid):
    """The days cannot be."""

    code = "invalid_days"

    def __init__(self) -> None:
        super().__init__(f"`from` must not be after `to`, nor more than {_MOST_DAYS} days before.")


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[None]:
    """Listen for refreshed answers while the application serves, and keep quotes in memory."""
    kept: Collaborators = app.state.collaborators
    client = redis.connect_async(kept.settings.cache, timeout_s=_REDIS_TIMEOUT_S)
    asking = Asking(client, name=DOMAIN, ring=lambda: ring(refresh))
    budget = budget_of(kept.settings, kept.cache)
    market = Market(
        asking=asking,
        reads=kept.database.reads,
        find_wait_s=partial(budget.wait_s, Lane.INTERACTIVE),
    )

    def hear(entry: Entry) -> None:
        if entry.type in _QUOTES and is_quote(entry.data, of=entry.subject):
            market.board.apply(entry.data)

    app.state.market = market
    app.state.entry_listeners = (*getattr(app.state, "entry_listeners", ()), hear)
    provider = partial(look_at_provider, budget, Refusals(kept.cache, name=DOMAIN))
    try:
        async with beside(asking.listen()), beside(market.follow_hours()):
            with exported(partial(collect, provider, partial(stream_watch.read, kept.cache))):
                yield
    finally:
        await client.aclose()


@router.get("/company", response_model=CompanyOut, responses=PROBLEMS | NOT_MODIFIED)
async def get_company(request: Request, symbol: Symbol, max_age_s: MaxAge = None) -> Response:
    """Tell about a company; market value and shares are in millions."""
    market: Market = request.app.state.market
    shown = await market.company(
        parse_symbol(symbol), max_age_s=max_age_s, asker=await find_stranger(request)
    )
    return send(request, pack(shown), keep_s=_KEEP_COMPANY_S)


@router.get(
    "/forex",
    response_model=ForexOut,
    responses=PROBLEMS | problems(InvalidCurrency) | NOT_MODIFIED,
)
async def get_forex(
    request: Request,
    base: Annotated[str, Query(description="Three letters, as in USD.")] = "USD",
    max_age_s: MaxAge = None,
) -> Response:
    """Tell what one unit of a currency buys of others."""
    market: Market = request.app.state.market
    shown = await market.forex(
        parse_currency(base), max_age_s=max_age_s, asker=await find_stranger(request)
    )
    return send(request, pack(shown), keep_s=_KEEP_FOREX_S)


@router.get(
    "/news",
    response_model=list[ArticleOut],
    responses=PROBLEMS | problems(InvalidDays) | NOT_MODIFIED,
)
async def list_news(
    request: Request,
    response: Response,
    page: Paging,
    symbol: Annotated[str | None, Query(description="Left out: news of no company.")] = None,
    first: Annotated[date | None, Query(alias="from", description="Seven days ago.")] = None,
    last: Annotated[date | None, Query(alias="to", description="Today.")] = None,
    max_age_s: MaxAge = None,
) -> Response:
    """List news, newest first; headers tell how old the list is, its source, and if it is stale."""
    market: Market = request.app.state.market
    feed, span = GENERAL if symbol is None else parse_symbol(symbol), _span(first, last)
    found = await market.news(
        feed,
        span,
        rows=lambda session: news.list_stored(
            session, feed=feed, span=span, limit=page.fetch, below=page.below
        ),
        max_age_s=max_age_s,
        asker=await find_stranger(request),
    )
    shown = [news.document(article) for article in page.show(found.articles, key=news.key)]
    return _send_list(request, shown, found.about, headers=response.headers)


def _send_list(
    request: Request, shown: list[Document], about: Document, *, headers: Mapping[str, str]
) -> Response:
    """Send a plain list; what other answers say of themselves stands in its headers."""
    ready = Ready(
        orjson.dumps(shown),
        tag_of([shown, about["source"], about["stale"]]),
        confirmed_s_ago(about),
    )
    answer = send(request, ready, keep_s=_KEEP_NEWS_S)
    answer.headers.update(
        {
            **headers,
            "X-Market-As-Of": str(about["as_of"]),
            "X-Market-Source": str(about["source"]),
            "X-Market-Stale": str(about["stale"]).lower(),
            "X-Market-Session": str(about["session"]),
        }
    )
    return answer


def _span(first: date | None, last: date | None) -> Span:
    last = last or datetime.now(UTC).date()
    if not _FIRST_YEAR <= last.year <= _LAST_YEAR:
        raise InvalidDays
    first = first or last - _DEFAULT_DAYS
    if not timedelta(0) <= last - first <= timedelta(days=_MOST_DAYS):
        raise InvalidDays
    return Span(first, last)
