"""Trades as they come over the provider's websocket, and what is left of them four times a second.

A symbol may trade a hundred times a second. Nobody is told of it more than once in 250 ms, and then
of the last price, with the highest and the lowest since the time before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from market.shapes import parse_json
from market.upstream import BadAnswer

TOLD_EVERY_S = 0.25
_LATEST_MS = 4_102_444_800_000  # the year 2100
_LONGEST_COMPLAINT = 200
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade, or a price without one (`v` is 0): what the symbol is worth at an instant."""

    symbol: str
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """What one message says: trades, a complaint about us, or neither (a ping)."""

    trades: tuple[Trade, ...] = ()
    complaint: str | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """The last trade of a symbol, and the range of all since the tick before."""

    symbol: str
    price: Decimal
    high: Decimal
    low: Decimal
    at: datetime


def parse_message(text: str | bytes) -> Heard:
    """Read a message; trades that cannot be true are left out.

    Raises:
        BadAnswer: it is no message.
    """
    message = parse_json(text.encode() if isinstance(text, str) else text)
    if not isinstance(message, dict):
        raise BadAnswer("the message is no object")
    if message.get("type") == "error":
        return Heard(complaint=str(message.get("msg"))[:_LONGEST_COMPLAINT])
    data = message.get("data")
    if message.get("type") != "trade" or not isinstance(data, list):
        return Heard()
    return Heard(trades=tuple(trade for item in data if (trade := _find_trade(item))))


class Coalescer:
    """Keeps the latest of each symbol until it may be told; what comes twice counts once."""

    def __init__(self, *, every_s: float = TOLD_EVERY_S) -> None:
        self._every_s = every_s
        self._waiting: dict[str, Tick] = {}
        self._latest_at: dict[str, datetime] = {}
        self._told_at_s: dict[str, float] = {}

    def take(self, trade: Trade) -> None:
        """Take a trade; one that is older than the latest of its symbol is no news."""
        latest_at = self._latest_at.get(trade.symbol)
        if latest_at is not None and trade.at < latest_at:
            return
        waiting = self._waiting.get(trade.symbol)
        if waiting is None and trade.at == latest_at:
            return  # told already
        self._latest_at[trade.symbol] = trade.at
        self._waiting[trade.symbol] = _joined(waiting, trade)

    def take_due(self, now_s: float) -> list[Tick]:
        """Take out what may be told at a time of a clock that never goes back."""
        due = [
            symbol
            for symbol in self._waiting
            if now_s >= self._told_at_s.get(symbol, -self._every_s) + self._every_s
        ]
        self._told_at_s |= dict.fromkeys(due, now_s)
        return [self._waiting.pop(symbol) for symbol in due]

    def give_back(self, ticks: list[Tick]) -> None:
        """Take ticks back that could not be stored; what came since stands before them."""
        for tick in ticks:
            newer = self._waiting.get(tick.symbol)
            self._waiting[tick.symbol] = (
                tick
                if newer is None
                else replace(newer, high=max(newer.high, tick.high), low=min(newer.low, tick.low))
            )

    def forget(self, symbol: str) -> None:
        """Forget a symbol that nobody watches any more."""
        for kept in (self._waiting, self._latest_at, self._told_at_s):
            kept.pop(symbol, None)


def _joined(waiting: Tick | None, trade: Trade) -> Tick:
    price = trade.price
    if waiting is None:
        return Tick(trade.symbol, price, price, price, trade.at)
    return Tick(trade.symbol, price, max(waiting.high, price), min(waiting.low, price), trade.at)


def _find_trade(item: object) -> Trade | None:
    if not isinstance(item, Mapping):
        return None
    symbol, at_ms = item.get("s"), item.get("t")
    price = _find_price(item.get("p"))
    if not isinstance(symbol, str) or price is None:
        return None
    if isinstance(at_ms, bool) or not isinstance(at_ms, int) or not 0 < at_ms < _LATEST_MS:
        return None
    return Trade(symbol, price, datetime.fromtimestamp(at_ms / 1000, UTC))


def _find_price(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    price = Decimal(value)
    exponent = price.as_tuple().exponent
    # The bounds of the polled quotes: a tiny exponent would be a gigabyte of zeros, written out.
    fits = isinstance(exponent, int) and exponent >= -_MOST_DIGITS
    return price if fits and price > 0 and price.adjusted() < _MOST_DIGITS else None
