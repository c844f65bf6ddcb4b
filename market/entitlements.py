"""What the key may ask for, learned from the provider's refusals and forgotten after an hour.

Nobody tells a program what its plan includes. A refusal of a premium endpoint says it at once. Of
any other endpoint it may be about one symbol, so two symbols of a class must be refused, and none
served, before the class counts as closed.
"""

import time
from dataclasses import dataclass

from infra.sharing.refusals import Refusals
from market import freshness
from market.symbols import SymbolClass, class_of
from market.upstream import NoAccess

# Source: https://finnhub.io/docs/api, the endpoints marked Premium, 2026-11.
PREMIUM = frozenset({"/forex/rates"})
_ENOUGH = 2
# A class that is served is noted by this process once in a while, not at every call.
_NOTED_EVERY_S = 60.0
# One letter after the dot may name a share class, as in BRK.B, and else an exchange.
_SHARE_CLASSES = frozenset("ABC")


@dataclass(frozen=True, slots=True)
class Errand:
    """What is asked of the provider: an endpoint, and the symbol, currency or text in question."""

    path: str
    subject: str
    plan_class: str

    @classmethod
    def about_symbol(cls, path: str, symbol: str) -> "Errand":
        """Name an errand about a symbol."""
        return cls(path, symbol, plan_class(symbol))

    @classmethod
    def about(cls, path: str, subject: str) -> "Errand":
        """Name an errand about something else."""
        return cls(path, subject, "any")

    @property
    def what(self) -> str:
        """What is closed when the errand is refused: `/quote crypto:BINANCE`."""
        return f"{self.path} {self.plan_class}"


class Plan:
    """The plan of the key, as far as it is known; shared by all processes."""

    def __init__(self, refusals: Refusals) -> None:
        self.refusals = refusals
        self._noted_until_s: dict[str, float] = {}

    def check(self, errand: Errand) -> None:
        """Let an errand pass unless it is known to be in vain.

        Raises:
            NoAccess: the plan does not include it.
            RedisDown: nobody knows.
        """
        closed_for_s = self.refusals.closed_for_s(errand.what)
        if closed_for_s:
            raise NoAccess(errand.path, retry_after_s=closed_for_s)

    def note_refused(self, errand: Errand) -> None:
        """Learn from a refusal.

        Raises:
            RedisDown: it is forgotten.
        """
        self._noted_until_s.pop(errand.what, None)
        enough = 1 if errand.path in PREMIUM else _ENOUGH
        self.refusals.refuse(
            errand.what, asker=errand.subject, enough=enough, life_s=freshness.NO_ACCESS_S
        )

    def note_served(self, errand: Errand) -> None:
        """Learn from an answer.

        Raises:
            RedisDown: it is forgotten.
        """
        if time.monotonic() < self._noted_until_s.get(errand.what, 0.0):
            return
        self.refusals.serve(errand.what, life_s=freshness.NO_ACCESS_S)
        self._noted_until_s[errand.what] = time.monotonic() + _NOTED_EVERY_S


def plan_class(symbol: str) -> str:
    """Name the class that plans are made by: equities by country, the others by exchange."""
    symbol_class = class_of(symbol)
    if symbol_class is not SymbolClass.EQUITY:
        return f"{symbol_class}:{symbol.partition(':')[0]}"
    _, dot, suffix = symbol.rpartition(".")
    return f"{symbol_class}:{suffix if dot and suffix not in _SHARE_CLASSES else 'US'}"
