"""The refresh of one answer: ask the provider, store what is good, cache it.

Storing and the event are one transaction; the cache follows the commit, so that nobody is shown
what was not kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy.orm import Session

from infra.cache import Cache
from infra.db import Sessions, transact
from infra.sharing.budget import CallBudget
from infra.sharing.wanted import Wanted
from market import aggregates, companies, freshness, news, quotes
from market.calls import ON_THE_WAY_S, Calls
from market.documents import Document, parse_instant
from market.entitlements import Errand, Plan
from market.finnhub import Finnhub
from market.quotes import Saved
from market.shapes import Article
from market.upstream import BadAnswer, NoAccess, UnknownSymbol
from market.wants import Kind, Want

T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """What a refresh works with; `source` says what the provider's figures are to be called.

    An answer may be `on_the_way_s`; for `settled_s` after it nothing is asked a second time.
    """

    sessions: Sessions
    finnhub: Finnhub
    budget: CallBudget
    plan: Plan
    wanted: Wanted
    cache: Cache
    source: str
    on_the_way_s: float = ON_THE_WAY_S
    settled_s: int = freshness.SETTLED_S


def refresh_quote(desk: Desk, calls: Calls, symbol: str) -> Saved:
    """Refresh the quote of a symbol of any class.

    Where the plan lacks it, what came in by itself a moment ago is as good: the stream of trades
    feeds the same tables.

    Raises:
        UnknownSymbol: neither the provider nor we know it.
        UpstreamFailed: there is no usable answer now; what is stored stays.
    """

    def find_stored(session: Session) -> Document | None:
        return quotes.find_stored(session, symbol)

    try:
        figures = _ask(
            desk,
            calls,
            Errand.about_symbol("/quote", symbol),
            lambda left_s: desk.finnhub.quote(symbol, within_s=left_s),
            find_stored,
        )
    except NoAccess:
        stored = transact(desk.sessions, find_stored)
        if stored is None or not _is_recent(stored):
            raise
        return Saved(stored, changed=False)
    saved = transact(
        desk.sessions,
        lambda session: quotes.save(session, symbol=symbol, figures=figures, source=desk.source),
    )
    _keep(desk, Want(Kind.QUOTE, symbol), saved.document)
    return saved


def refresh_company(desk: Desk, calls: Calls, symbol: str) -> Saved:
    """Refresh a company's profile.

    Raises:
        UnknownSymbol: neither the provider nor we know it.
        UpstreamFailed: there is no usable answer now; what is stored stays.
    """
    profile = _ask(
        desk,
        calls,
        Errand.about_symbol("/stock/profile2", symbol),
        lambda left_s: desk.finnhub.profile(symbol, within_s=left_s),
        lambda session: companies.find_stored(session, symbol),
    )
    saved = transact(
        desk.sessions,
        lambda session: companies.save(session, symbol=symbol, profile=profile, source=desk.source),
    )
    _keep(desk, Want(Kind.COMPANY, symbol), saved.document)
    return saved


def refresh_news(desk: Desk, calls: Calls, want: Want) -> Saved:
    """Refresh the news of a feed; the articles are read from the tables, the cache holds a mark.

    Raises:
        UpstreamFailed: there is no usable answer now; what is stored stays.
    """
    path = "/news" if want.span is None else "/company-news"
    articles = calls.make(
        Errand.about_symbol(path, want.subject), lambda left_s: _fetch_news(desk, want, left_s)
    )
    added = _save_news(desk, want, articles)
    mark = news.describe_fetch(datetime.now(UTC), desk.source)
    _keep(desk, want, mark)
    return Saved(mark, changed=added > 0)


def keep_forex(desk: Desk, base: str, document: Document) -> None:
    """Cache the rates of a base."""
    _keep(desk, Want(Kind.FOREX, base), document)


def _ask(
    desk: Desk,
    calls: Calls,
    errand: Errand,
    fetch: Callable[[float], T],
    find_stored: Callable[[Session], Document | None],
) -> T:
    """Call the provider; that it no longer knows what it knew before is a glitch, not a fact."""
    try:
        return calls.make(errand, fetch)
    except UnknownSymbol:
        if transact(desk.sessions, find_stored) is None:
            raise
        raise BadAnswer("it is empty where there was an answer before") from None


def _is_recent(stored: Document) -> bool:
    age = datetime.now(UTC) - parse_instant(stored["fetched_at"])
    return age.total_seconds() <= freshness.QUOTE_S


def _fetch_news(desk: Desk, want: Want, left_s: float) -> list[Article]:
    if want.span is None:
        return desk.finnhub.general_news(within_s=left_s)
    first, last = want.span.first, want.span.last
    return desk.finnhub.company_news(want.subject, first=first, last=last, within_s=left_s)


def _save_news(desk: Desk, want: Want, articles: list[Article]) -> int:
    def save(session: Session) -> int:
        return news.save(session, feed=want.subject, articles=articles, source=desk.source)

    return aggregates.write(desk.sessions, save)


def _keep(desk: Desk, want: Want, document: Document) -> None:
    desk.cache.put(want.cache_key, document, life_s=freshness.CACHED_S[want.kind])
