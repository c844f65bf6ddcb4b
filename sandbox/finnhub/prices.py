"""Prices that walk at random, yet are a function of seed, symbol and time alone.

Every day closes at a price that depends on seed, symbol and date only. Within a day the price
walks in slots of five seconds from the open to that close (a Brownian bridge), and between two
slots in a straight line. So every process and every restart with the same seed tells the same
prices, and the high and low of the day cover every price that was ever told.
"""

import math
from dataclasses import dataclass
from random import Random

from sandbox.finnhub.instruments import Instrument

DAY_S = 86_400
SLOT_S = 5
SLOTS = DAY_S // SLOT_S


@dataclass(frozen=True, slots=True)
class Quote:
    """One quote, rounded to the decimals of its instrument; `t` in unix seconds."""

    c: float
    h: float
    l: float  # noqa: E741 - the provider's name
    o: float
    pc: float
    t: int

    def public(self) -> dict[str, float]:
        """Return the quote as the provider writes it."""
        return {
            "c": self.c,
            "d": round(self.c - self.pc, 6),
            "dp": round((self.c - self.pc) / self.pc * 100, 4),
            "h": self.h,
            "l": self.l,
            "o": self.o,
            "pc": self.pc,
            "t": self.t,
        }


class Market:
    """Prices of all instruments, each day's walk kept as far as it has been asked for."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._walks: dict[str, _DayWalk] = {}

    def quote(self, instrument: Instrument, *, at: float) -> Quote:
        """Return the quote at a unix time; for one whole second it is always the same."""
        second = int(at)
        walk = self._walk(instrument, second // DAY_S)
        price = walk.price(second % DAY_S)
        digits = instrument.decimals
        return Quote(
            c=round(price, digits),
            h=round(max(walk.high, price), digits),
            l=round(min(walk.low, price), digits),
            o=round(walk.open, digits),
            pc=round(walk.previous_close, digits),
            t=second,
        )

    def price(self, instrument: Instrument, *, at: float) -> float:
        """Return the price at a unix time with fractions of a second."""
        walk = self._walk(instrument, int(at // DAY_S))
        return round(walk.price(at % DAY_S), instrument.decimals)

    def open_close(self, instrument: Instrument, *, day: int) -> tuple[float, float]:
        """Return the first and the last price of a day (days since 1970)."""
        walk = _DayWalk(self._seed, instrument, day)
        digits = instrument.decimals
        return round(walk.open, digits), round(walk.close, digits)

    def path(self, instrument: Instrument, *, day: int) -> list[float]:
        """Return the price at the start of every slot of a day."""
        walk = _DayWalk(self._seed, instrument, day)
        return [walk.price(slot * SLOT_S) for slot in range(SLOTS)]

    def _walk(self, instrument: Instrument, day: int) -> "_DayWalk":
        walk = self._walks.get(instrument.symbol)
        if walk is None or walk.day != day:
            walk = _DayWalk(self._seed, instrument, day)
            self._walks[instrument.symbol] = walk
        return walk


class _DayWalk:
    """One instrument's way through one day (UTC), in logarithms of the price."""

    def __init__(self, seed: int, instrument: Instrument, day: int) -> None:
        self.day = day
        self._name = f"{seed}:{instrument.symbol}:{day}"
        self._step = instrument.volatility / math.sqrt(SLOTS)
        before = _close(seed, instrument, day - 1)
        gap = Random(f"{self._name}:open").gauss(0, instrument.volatility / 4)
        self._first = before + gap
        self._last = _close(seed, instrument, day)
        self.previous_close = math.exp(before)
        self.open = math.exp(self._first)
        self.close = math.exp(self._last)
        self._begin()

    @property
    def high(self) -> float:
        """Return the highest slot up to the time last asked for."""
        return math.exp(self._high)

    @property
    def low(self) -> float:
        """Return the lowest slot up to the time last asked for."""
        return math.exp(self._low)

    def price(self, second: float) -> float:
        """Return the price that many seconds into the day."""
        slot = int(second // SLOT_S)
        if slot < self._slot:
            self._begin()
        while self._slot < slot:
            self._advance()
        share = second / SLOT_S - slot
        return math.exp(self._here + (self._next - self._here) * share)

    def _begin(self) -> None:
        self._random = Random(self._name)
        self._slot = 0
        self._here = self._high = self._low = self._first
        self._next = self._following()

    def _advance(self) -> None:
        self._slot += 1
        self._here = self._next
        self._high = max(self._high, self._here)
        self._low = min(self._low, self._here)
        self._next = self._following()

    def _following(self) -> float:
        left = SLOTS - self._slot
        pull = (self._last - self._here) / left
        return self._here + pull + self._step * math.sqrt((left - 1) / left) * self._random.gauss()


def _close(seed: int, instrument: Instrument, day: int) -> float:
    """Return the logarithm of a day's last price: slow waves around the base price, and noise."""
    waves = Random(f"{seed}:{instrument.symbol}")
    slow = 6 * math.sin(math.tau * (day / 97 + waves.random()))
    middle = 3 * math.sin(math.tau * (day / 23 + waves.random()))
    noise = Random(f"{seed}:{instrument.symbol}:{day}:close").gauss(0, 0.6)
    return math.log(instrument.price) + instrument.volatility * (slow + middle + noise)
