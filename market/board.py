"""The latest quotes in the memory of one process, ready to be sent.

Fed by the event streams and by every answer that passes by. It may be empty or behind at any time:
then the cache in Redis answers.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from market import freshness
from market.documents import Document, Ready, parse_instant, show, tag_of
from market.hours import Hours
from market.symbols import class_of

MOST_SYMBOLS = 10_000
# The session in a prepared answer is that of its making.
_PREPARED_S = 10.0


@dataclass(slots=True)
class Posted:
    """One quote on the board, and its answer as far as it can be made beforehand."""

    document: Document
    hours: Hours
    fetched_at: datetime
    provider_time_s: int
    # By this process' own clock, so that a wrong clock elsewhere makes nothing fresh for ever.
    confirmed_s: float
    noted_until_s: float = 0.0
    usual_age_s: float = 0.0
    tag: str = ""
    prepared: bytes = b""
    prepared_until_s: float = 0.0

    def is_fresh(self, max_age_s: float | None) -> bool:
        """Tell whether the provider confirmed it in the last `max_age_s` seconds.

        None is what is usual for the symbol at this time of the week.
        """
        now_s = time.monotonic()
        if now_s > self.prepared_until_s:
            self._prepare()
        return now_s - self.confirmed_s <= (self.usual_age_s if max_age_s is None else max_age_s)

    def ready(self) -> Ready:
        """Return the answer; only its ages are new each time."""
        now_s = time.monotonic()
        if now_s > self.prepared_until_s:
            self._prepare()
        body = b"%b%d}" % (self.prepared, max(0, int(time.time()) - self.provider_time_s))
        return Ready(body, self.tag, int(now_s - self.confirmed_s))

    def _prepare(self) -> None:
        session = self.hours.session(class_of(str(self.document["symbol"])))
        shown = show(self.document, session)
        self.tag = tag_of(shown)
        del shown["age_s"]
        self.prepared = orjson.dumps(shown).removesuffix(b"}") + b',"age_s":'
        self.usual_age_s = freshness.quote_s(session)
        self.prepared_until_s = time.monotonic() + _PREPARED_S


class QuoteBoard:
    """The latest quote of each symbol that this process has heard of."""

    def __init__(self, hours: Hours | None = None, *, most_symbols: int = MOST_SYMBOLS) -> None:
        self._posted: dict[str, Posted] = {}
        self._hours = hours or Hours()
        self._most_symbols = most_symbols

    def find(self, symbol: str) -> Posted | None:
        """Find a symbol's latest quote, however old."""
        return self._posted.get(symbol)

    def apply(self, document: Document) -> None:
        """Take a quote in its public form, as an event's `data` is; an older one is ignored."""
        symbol = str(document["symbol"])
        fetched_at = parse_instant(document["fetched_at"])
        before = self._posted.pop(symbol, None)
        if before is not None and before.fetched_at >= fetched_at:
            self._posted[symbol] = before
            return
        age_s = max(0.0, (datetime.now(UTC) - fetched_at).total_seconds())
        # Put in anew, a symbol stands last: the first one is the longest without news.
        self._posted[symbol] = Posted(
            document,
            self._hours,
            fetched_at,
            provider_time_s=int(str(document["t"])),
            confirmed_s=time.monotonic() - age_s,
            noted_until_s=before.noted_until_s if before else 0.0,
        )
        if len(self._posted) > self._most_symbols:
            del self._posted[next(iter(self._posted))]
