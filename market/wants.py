"""What can be wanted of the provider, as a line of text that travels through Redis.

`quote AAPL`, `company AAPL`, `news AAPL 2026-11-01 2026-11-07`, `news general`, `forex USD`,
`search APPLE%20INC`, `status US`, `holidays US`, `symbols binance`.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from market.news import Span

# The name under which wants, outcomes and cached answers of this domain stand in Redis.
DOMAIN = "market"
# The name under which its calls are counted.
PROVIDER = "finnhub"


class Kind(StrEnum):
    """Kinds of answers."""

    QUOTE = "quote"
    COMPANY = "company"
    NEWS = "news"
    FOREX = "forex"
    SEARCH = "search"
    STATUS = "status"
    HOLIDAYS = "holidays"
    SYMBOLS = "symbols"


# Symbols, currencies, exchanges, and searches in percent-encoding. Whoever can write to Redis can
# want anything: nothing else is asked of the provider.
_SUBJECT = re.compile(r"[A-Za-z0-9.:_^%~-]{1,500}")


@dataclass(frozen=True, slots=True)
class Want:
    """One thing wanted: a kind of answer about a symbol, currency or feed."""

    kind: Kind
    subject: str
    span: Span | None = None

    @property
    def text(self) -> str:
        """The want as it travels."""
        if self.span is None:
            return f"{self.kind} {self.subject}"
        return f"{self.kind} {self.subject} {self.span.first} {self.span.last}"

    @property
    def cache_key(self) -> str:
        """Where the answer is kept in the cache."""
        return f"{DOMAIN}:answer:{self.text}"


def parse_want(text: str) -> Want:
    """Read a want.

    Raises:
        ValueError: it is none.
    """
    kind, subject, *days = text.split(" ")
    if not _SUBJECT.fullmatch(subject):
        msg = "no subject of a want"
        raise ValueError(msg)
    if not days:
        return Want(Kind(kind), subject)
    first, last = days
    return Want(Kind(kind), subject, Span(date.fromisoformat(first), date.fromisoformat(last)))
