"""The search for symbols over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api.errors import problems
from api.market_answers import NOT_MODIFIED, find_stranger, send
from api.market_shapes import Freshness, MaxAge
from market.documents import pack
from market.questions import Market
from market.reading import MarketTimedOut, TooManyNewSymbols
from market.symbols import InvalidQuery, parse_query
from market.upstream import UpstreamFailed

router = APIRouter(prefix="/market", tags=["market"])

_KEEP_S = 600


class MatchOut(BaseModel):
    """A symbol and what it stands for, under Finnhub's keys."""

    symbol: str
    displaySymbol: str  # noqa: N815 - the provider's name
    description: str
    type: str = Field(description="The provider's word for its kind; empty where it gives none.")


class SearchOut(Freshness):
    """What a search has found, the best match first."""

    query: str
    result: list[MatchOut]


@router.get(
    "/search",
    response_model=SearchOut,
    responses=problems(InvalidQuery, TooManyNewSymbols, UpstreamFailed, MarketTimedOut)
    | NOT_MODIFIED,
)
async def search(
    request: Request,
    q: Annotated[str, Query(description="A part of a name or symbol, as in `apple` or `BTC/`.")],
    max_age_s: MaxAge = None,
) -> Response:
    """Find symbols by name: equities, currency pairs and coins."""
    market: Market = request.app.state.market
    shown = await market.search(
        parse_query(q), max_age_s=max_age_s, asker=await find_stranger(request)
    )
    return send(request, pack(shown), keep_s=_KEEP_S)
