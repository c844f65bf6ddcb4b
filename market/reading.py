"""The way of a question: the cache, else one refresh for all who ask, else what is stored.

Runs in the event loop of an edge; the database and the bell are used in threads.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from infra.db import Sessions, transact
from infra.errors import TimedOut, TooMany, Transient
from infra.logs import log
from infra.redis import RedisDown
from infra.sharing.asking import Asking, Flights, Outcome
from market import freshness
from market.cached import is_answer
from market.documents import Document, parse_instant
from market.outcomes import describe, failure_of
from market.upstream import OverBudget
from market.wants import Want

NEW_A_MINUTE = 10
_MINUTE_S = 60


class TooManyNewSymbols(TooMany):
    """An anonymous caller asked for many things that nobody asked for before."""

    code = "too_many_symbols"

    def __init__(self) -> None:
        super().__init__(
            f"Without signing in, {NEW_A_MINUTE} new symbols a minute may be asked for.",
            retry_after_s=_MINUTE_S,
        )


class MarketTimedOut(TimedOut):
    """The refresh was asked for and did not come in time."""

    code = "market_timeout"

    def __init__(self) -> None:
        super().__init__("No answer came in time; it is on its way. Try again soon.")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to be answered; `find_stored` looks for the last good answer in the tables.

    `asker` is the address of an anonymous caller, None for those who may cause any refresh. What is
    stored is free for strangers to refresh, unless the question `always_counts`.
    """

    want: Want
    max_age_s: float
    find_stored: Callable[[Session], Document | None]
    asker: str | None = None
    always_counts: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An answer; `stale` if it is older than was asked for and could not be refreshed."""

    document: Document
    stale: bool


@dataclass(frozen=True, slots=True)
class _Look:
    fresh: Document | None
    older: Document | None


class Reading:
    """Answers questions for one process; the same question at the same time is worked on once."""

    def __init__(
        self,
        *,
        asking: Asking,
        reads: Sessions,
        find_wait_s: Callable[[], float],
        asker_waits_s: float,
    ) -> None:
        """Take what it works with; `find_wait_s` tells how long the budget allows no call."""
        self._asker_waits_s = asker_waits_s
        self._asking = asking
        self._reads = reads
        self._find_wait_s = find_wait_s
        self._looks: Flights[_Look] = Flights()
        self._asks: Flights[Outcome | None] = Flights()
        self._reads_again: Flights[Document | None] = Flights()

    async def answer(self, question: Question) -> Found:
        """Answer a question, freshly if that is possible at all.

        Raises:
            UnknownSymbol: there is no such thing.
            TooManyNewSymbols: the asker is anonymous and caused enough refreshes for a minute.
            Transient: it cannot be had now, and nothing is stored.
        """
        look = await self._look(question)
        if look.fresh is not None:
            return Found(look.fresh, stale=False)
        try:
            if question.asker and (question.always_counts or look.older is None):
                await self._admit(question.asker, question.want)
            return await self._refresh(question)
        except Transient as failure:
            if look.older is None:
                raise
            log.info("stale_answer", want=question.want.text, code=failure.code)
            return Found(look.older, stale=True)

    async def _look(self, question: Question) -> _Look:
        key = (question.want.text, question.max_age_s)
        return await self._looks.join(key, lambda: self._look_once(question))

    async def _look_once(self, question: Question) -> _Look:
        try:
            cached = await self._find_cached(question.want)
        except RedisDown:
            cached = None
        if cached is not None and _is_fresh(cached, question.max_age_s):
            return _Look(fresh=cached, older=None)
        return _Look(fresh=None, older=await self._find_stored(question) or cached)

    async def _find_cached(self, want: Want) -> Document | None:
        found = await self._asking.find(want.cache_key)
        if found is None or is_answer(found, want):
            return found
        log.warning("cached_answer_not_ours", want=want.text)
        return None

    async def _find_stored(self, question: Question) -> Document | None:
        try:
            return await asyncio.to_thread(transact, self._reads, question.find_stored)
        except Transient as failure:
            log.warning("stored_answer_not_read", code=failure.code)
            return None

    async def _admit(self, asker: str, want: Want) -> None:
        admitted = await self._asking.admit(
            asker, want.text, limit=NEW_A_MINUTE, window_s=_MINUTE_S
        )
        if not admitted:
            raise TooManyNewSymbols

    async def _refresh(self, question: Question) -> Found:
        want = question.want
        outcome = await self._asks.join(
            want.text, lambda: self._asking.ask(want.text, timeout_s=self._asker_waits_s)
        )
        if outcome is None:
            outcome = await self._explain_delay()
        if failure := failure_of(outcome, subject=want.subject):
            raise failure
        refreshed = await self._reads_again.join(want.text, lambda: self._read_again(question))
        if refreshed is None:
            raise MarketTimedOut
        return Found(refreshed, stale=False)

    async def _explain_delay(self) -> Outcome:
        """Tell whether it is the budget that lets a crowd wait.

        Raises:
            MarketTimedOut: it is not, as far as anybody knows.
        """
        try:
            wait_s = await asyncio.to_thread(self._find_wait_s)
        except RedisDown:
            wait_s = 0.0
        if wait_s <= 0:
            raise MarketTimedOut
        return describe(OverBudget(wait_s=wait_s))

    async def _read_again(self, question: Question) -> Document | None:
        """Read what a refresh has just left; the cache may have been flushed since."""
        cached = await self._find_cached(question.want)
        return cached or await self._find_stored(question)


def _is_fresh(document: Document, max_age_s: float) -> bool:
    if document.get("complete") is False:
        max_age_s = min(max_age_s, freshness.PARTIAL_S)
    age_s = (datetime.now(UTC) - parse_instant(document["fetched_at"])).total_seconds()
    return age_s <= max_age_s
