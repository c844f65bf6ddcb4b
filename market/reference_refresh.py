"""The refresh of what describes the market itself: sessions, holidays, symbols, searches."""

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote

from sqlalchemy.orm import Session

from infra.db import transact
from market import aggregates, freshness, references
from market.calls import Calls
from market.documents import Document, instant
from market.entitlements import Errand
from market.finnhub import US
from market.quotes import Saved
from market.reference_shapes import Match
from market.refresh import Desk
from market.upstream import UnknownSymbol
from market.wants import Kind, Want

_MOST_FOUND = 50


def refresh_status(desk: Desk, calls: Calls) -> Saved:
    """Refresh what the exchanges of the United States do.

    Raises:
        UpstreamFailed: there is no usable answer now; what is stored stays.
    """
    status = calls.make(
        Errand.about("/stock/market-status", US),
        lambda left_s: desk.finnhub.market_status(within_s=left_s),
    )
    return _keep(desk, lambda s: references.save_status(s, status, source=desk.source))


def refresh_holidays(desk: Desk, calls: Calls) -> Saved:
    """Refresh the holidays of the exchanges of the United States.

    Raises:
        UpstreamFailed: there is no usable answer now; what is stored stays.
    """
    holidays = calls.make(
        Errand.about("/stock/market-holiday", US),
        lambda left_s: desk.finnhub.market_holidays(within_s=left_s),
    )
    return _keep(desk, lambda s: references.save_holidays(s, holidays, source=desk.source))


def refresh_symbols(desk: Desk, calls: Calls, exchange: str) -> Saved:
    """Refresh the symbols of an exchange of currencies or coins.

    Raises:
        UnknownSymbol: nobody here asks for those of that exchange.
        UpstreamFailed: there is no usable answer now; what is stored stays.
    """
    if exchange not in references.EXCHANGES:
        raise UnknownSymbol(exchange)
    is_crypto = exchange == "binance"
    fetch = desk.finnhub.crypto_symbols if is_crypto else desk.finnhub.forex_symbols
    matches = calls.make(
        Errand.about("/crypto/symbol" if is_crypto else "/forex/symbol", exchange),
        lambda left_s: fetch(exchange, within_s=left_s),
    )
    return _keep(desk, lambda s: references.save_symbols(s, exchange, matches, source=desk.source))


def refresh_search(desk: Desk, calls: Calls, quoted: str) -> Saved:
    """Search for symbols; coins and currencies are added from the lists of their exchanges.

    The answer is cached and not stored: what was searched for once is of little use later.

    Raises:
        UpstreamFailed: there is no usable answer now.
    """
    query = unquote(quoted)
    found = calls.make(
        Errand.about("/search", query),
        lambda left_s: desk.finnhub.search(query, within_s=left_s),
    )
    found += transact(desk.sessions, lambda session: _search_lists(session, query))
    unique = list({match.symbol: match for match in reversed(found)}.values())[::-1]
    now = instant(datetime.now(UTC))
    document: Document = {
        "query": query,
        "result": [_public(match) for match in unique[:_MOST_FOUND]],
        "as_of": now,
        "fetched_at": now,
        "source": desk.source,
    }
    want = Want(Kind.SEARCH, quoted)
    desk.cache.put(want.cache_key, document, life_s=freshness.CACHED_S[Kind.SEARCH])
    return Saved(document, changed=False)


def _search_lists(session: Session, query: str) -> list[Match]:
    wanted = query.upper()
    return [
        match
        for exchange in references.EXCHANGES
        for match in references.list_symbols(session, exchange)
        if any(wanted in text.upper() for text in (match.symbol, match.display, match.description))
    ]


def _public(match: Match) -> Document:
    return {
        "symbol": match.symbol,
        "displaySymbol": match.display,
        "description": match.description,
        "type": match.kind,
    }


def _keep(desk: Desk, save: Callable[[Session], Document]) -> Saved:
    return Saved(aggregates.write(desk.sessions, save), changed=False)
