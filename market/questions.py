"""The questions that people ask, and the way of the quote: from memory if at all possible."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from infra.db import Sessions, transact
from infra.errors import Transient
from infra.redis import RedisDown
from infra.sharing.asking import Asking
from market import companies, forex, freshness, news, quotes, references
from market.board import QuoteBoard
from market.documents import Document, Ready, pack, show
from market.hours import Hours
from market.models import News
from market.news import GENERAL, Span
from market.reading import Found, Question, Reading
from market.status import SOURCE_KEY, Source, read_source
from market.symbols import SymbolClass, class_of
from market.wants import Kind, Want

_NOTED_EVERY_S = 60.0
_HOURS_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class NewsFound:
    """Articles, and what is to be said of them as a whole: age, source, stale."""

    articles: list[News]
    about: Document


class Market:
    """What one process needs to answer questions about the market."""

    def __init__(
        self,
        *,
        asking: Asking,
        reads: Sessions,
        find_wait_s: Callable[[], float],
        asker_waits_s: float = freshness.ASKER_WAITS_S,
    ) -> None:
        """Take what it works with; `find_wait_s` tells how long the budget allows no call."""
        self.hours = Hours()
        self.board = QuoteBoard(self.hours)
        self.asking = asking
        self._reads = reads
        self._reading = Reading(
            asking=asking, reads=reads, find_wait_s=find_wait_s, asker_waits_s=asker_waits_s
        )
        self._notes: set[asyncio.Task[None]] = set()

    def find_quote(self, symbol: str, *, max_age_s: float | None = None) -> Ready | None:
        """Find a fresh quote in memory; None for `max_age_s` is what is usual now."""
        posted = self.board.find(symbol)
        if posted is None or not posted.is_fresh(max_age_s):
            return None
        if time.monotonic() > posted.noted_until_s:
            posted.noted_until_s = time.monotonic() + _NOTED_EVERY_S
            self._note(symbol)
        return posted.ready()

    async def quote(
        self, symbol: str, *, max_age_s: float | None = None, asker: str | None
    ) -> Ready:
        """Answer with a quote; `asker` is the address of a stranger.

        Raises:
            UnknownSymbol: there is none.
            TooManyNewSymbols: the asker is anonymous and asks for too many.
            Transient: it cannot be had now, and nothing is stored.
        """
        session = self.hours.session(class_of(symbol))
        max_age_s = _bounded(max_age_s, freshness.quote_s(session), asker)
        if (ready := self.find_quote(symbol, max_age_s=max_age_s)) is not None:
            return ready
        want = Want(Kind.QUOTE, symbol)
        found = await self._reading.answer(
            Question(want, max_age_s, lambda s: quotes.find_stored(s, symbol), asker)
        )
        if not found.stale:
            self.board.apply(found.document)
            self._note(symbol)
        return pack(show(found.document, session, stale=found.stale))

    async def company(
        self, symbol: str, *, max_age_s: float | None = None, asker: str | None
    ) -> Document:
        """Answer with a company's profile.

        Raises:
            UnknownSymbol: there is none.
            TooManyNewSymbols: the asker is anonymous and asks for too many.
            Transient: it cannot be had now, and nothing is stored.
        """
        max_age_s = _bounded(max_age_s, freshness.COMPANY_S, asker)
        want = Want(Kind.COMPANY, symbol)
        found = await self._reading.answer(
            Question(want, max_age_s, lambda s: companies.find_stored(s, symbol), asker)
        )
        return self._show(found, class_of(symbol))

    async def forex(
        self, base: str, *, max_age_s: float | None = None, asker: str | None
    ) -> Document:
        """Answer with the exchange rates of a base currency.

        Raises:
            UnknownSymbol: there is no such currency.
            TooManyNewSymbols: the asker is anonymous and asks for too many.
            Transient: they cannot be had now, and none are stored.
        """
        max_age_s = _bounded(max_age_s, freshness.FOREX_S, asker)
        want = Want(Kind.FOREX, base)
        found = await self._reading.answer(
            Question(want, max_age_s, lambda s: forex.find_stored(s, base), asker)
        )
        return self._show(found, SymbolClass.FOREX)

    async def search(
        self, query: str, *, max_age_s: float | None = None, asker: str | None
    ) -> Document:
        """Answer with the symbols that match a text, one that `parse_query` made.

        Raises:
            TooManyNewSymbols: the asker is anonymous and asks for too many.
            Transient: it cannot be had now, and nothing is kept.
        """
        found = await self._reading.answer(
            Question(
                Want(Kind.SEARCH, quote(query, safe="")),
                _bounded(max_age_s, freshness.SEARCH_S, asker),
                lambda _session: None,
                asker,
                always_counts=True,
            )
        )
        return self._show(found, SymbolClass.EQUITY)

    async def find_source(self) -> Source:
        """Find out where figures come from, as a worker has published it."""
        try:
            return read_source(await self.asking.find(SOURCE_KEY))
        except RedisDown:
            return "unknown"

    async def follow_hours(self) -> None:
        """Bring the trading hours up to what workers have learned, until cancelled.

        As long as the database is away, or has no tables yet, what is known goes on.
        """
        while True:
            with suppress(Transient, SQLAlchemyError):
                await asyncio.to_thread(transact, self._reads, self._read_hours)
            await asyncio.sleep(_HOURS_EVERY_S)

    def _read_hours(self, session: Session) -> None:
        references.read_hours(session, self.hours)

    async def news(
        self,
        feed: str,
        span: Span,
        *,
        rows: Callable[[Session], list[News]],
        max_age_s: float | None = None,
        asker: str | None,
    ) -> NewsFound:
        """Answer with a feed's articles, those that `rows` reads from the tables.

        Raises:
            TooManyNewSymbols: the asker is anonymous and asks for too many.
            Transient: they cannot be had now, and none are stored.
        """
        want = Want(Kind.NEWS, feed, None if feed == GENERAL else span)
        found = await self._reading.answer(
            Question(
                want,
                _bounded(max_age_s, freshness.NEWS_S, asker),
                lambda session: news.find_stored(session, feed=feed, span=span),
                asker,
                # The provider is asked for every choice of days anew.
                always_counts=True,
            )
        )
        articles = await asyncio.to_thread(transact, self._reads, rows)
        return NewsFound(articles, self._show(found, SymbolClass.EQUITY))

    def _show(self, found: Found, symbol_class: SymbolClass) -> Document:
        return show(found.document, self.hours.session(symbol_class), stale=found.stale)

    def _note(self, symbol: str) -> None:
        """Remember in the background that somebody asked, so that the symbol is kept fresh."""
        note = asyncio.create_task(self._note_quietly(symbol))
        self._notes.add(note)
        note.add_done_callback(self._notes.discard)

    async def _note_quietly(self, symbol: str) -> None:
        with suppress(RedisDown):
            await self.asking.note(symbol)


def _bounded(max_age_s: float | None, usual_s: float, asker: str | None) -> float:
    """Return how old an answer may be.

    A stranger may not spend the budget on being fresher than everybody else.
    """
    if max_age_s is None:
        return usual_s
    return max_age_s if asker is None else max(max_age_s, usual_s)
