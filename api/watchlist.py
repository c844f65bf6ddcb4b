"""The watchlist over HTTP: which symbols are kept fresh whether anybody asks or not."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response, status
from pydantic import BaseModel, Field

from api.deps import AppSettings, CacheRedis, Operator, Reads, Sessions
from api.errors import problems
from api.market_answers import NOT_MODIFIED, send
from api.market_shapes import SYMBOLS
from infra.db import transact
from infra.redis import Client, RedisDown
from infra.sharing.wanted import Wanted
from market import freshness, watchlist
from market.documents import pack_own
from market.symbols import InvalidSymbol, class_of, parse_symbol
from market.wants import DOMAIN
from market.watchlist import ConfiguredSymbol, Entry, NotWatched, Origin, WatchlistFull
from workers.bells import ring
from workers.market import refresh_watchlist

router = APIRouter(prefix="/market/watchlist", tags=["market"])

Symbol = Annotated[str, Path(description=SYMBOLS)]


class WatchedOut(BaseModel):
    """A symbol that is kept fresh."""

    symbol: str
    kind: str = Field(description="`equity`, `forex` or `crypto`.")
    origin: Origin = Field(
        description="`configured` by the setting WATCHLIST, `stored` by an operator, or `recent`: "
        "somebody asked for it in the last 15 minutes."
    )
    added_at: datetime | None
    added_by: int | None = Field(description="The id of the user who put it there.")

    @classmethod
    def of(cls, entry: Entry) -> "WatchedOut":
        """Show an entry."""
        return cls(
            symbol=entry.symbol,
            kind=class_of(entry.symbol),
            origin=entry.origin,
            added_at=entry.added_at,
            added_by=entry.added_by,
        )


@router.get("", response_model=list[WatchedOut], responses=NOT_MODIFIED)
def list_watched(
    request: Request, settings: AppSettings, cache: CacheRedis, reads: Reads
) -> Response:
    """List what is kept fresh: what is configured, what operators have added, what is asked for."""
    recent = _list_recent(cache)
    with reads() as session:
        entries = watchlist.list_entries(session, configured=settings.watchlist, recent=recent)
    return send(
        request, pack_own([WatchedOut.of(entry).model_dump(mode="json") for entry in entries])
    )


@router.get(
    "/{symbol}",
    response_model=WatchedOut,
    responses=problems(NotWatched, InvalidSymbol) | NOT_MODIFIED,
)
def get_watched(
    request: Request, symbol: Symbol, settings: AppSettings, cache: CacheRedis, reads: Reads
) -> Response:
    """Tell whether a symbol is kept fresh, and why."""
    asked, recent = parse_symbol(symbol), _list_recent(cache)
    with reads() as session:
        entries = watchlist.list_entries(session, configured=settings.watchlist, recent=recent)
    for entry in entries:
        if entry.symbol == asked:
            return send(request, pack_own(WatchedOut.of(entry).model_dump(mode="json")))
    raise NotWatched(asked)


@router.put(
    "/{symbol}",
    responses=problems(InvalidSymbol, WatchlistFull)
    | {201: {"model": WatchedOut, "description": "It is on the list from now on."}},
)
def put_watched(
    symbol: Symbol, caller: Operator, settings: AppSettings, sessions: Sessions, response: Response
) -> WatchedOut:
    """Keep a symbol fresh from now on; that the provider knows it shows with its first quote."""
    asked = parse_symbol(symbol)
    put = transact(
        sessions,
        lambda session: watchlist.put(
            session, asked, added_by=caller.user_id, configured=settings.watchlist
        ),
    )
    if put.is_new:
        response.status_code = status.HTTP_201_CREATED
        ring(refresh_watchlist)
    return WatchedOut.of(put.entry)


@router.delete(
    "/{symbol}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(InvalidSymbol, NotWatched, ConfiguredSymbol),
)
def delete_watched(
    symbol: Symbol, _caller: Operator, settings: AppSettings, sessions: Sessions
) -> None:
    """Take a symbol off the list; it is still watched while people ask for it."""
    asked = parse_symbol(symbol)
    transact(
        sessions,
        lambda session: watchlist.remove(session, asked, configured=settings.watchlist),
    )


def _list_recent(cache: Client) -> list[str]:
    try:
        return Wanted(cache, name=DOMAIN).list_recent(
            within_s=freshness.WATCHED_FOR_S, limit=watchlist.MOST_RECENT
        )
    except RedisDown:
        return []
