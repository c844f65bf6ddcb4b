"""Candles cut from the same walk that the quotes come from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from sandbox.finnhub.instruments import Instrument
from sandbox.finnhub.prices import DAY_S, SLOT_S, Market

MINUTES = {"1": 1, "5": 5, "15": 15, "30": 30, "60": 60}
LONG = ("D", "W", "M")
MOST_MINUTE_DAYS = 31
MOST_DAYS = 5 * 366
NO_DATA = {"s": "no_data"}


@dataclass(frozen=True, slots=True)
class Span:
    """The unix seconds that candles are wanted for, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Bar:
    """What happened in one interval that begins at `t` (unix seconds)."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741 - the provider's name
    c: float
    v: int


def cut(
    market: Market,
    instrument: Instrument,
    *,
    resolution: str,
    span: Span,
    is_traded: Callable[[int], bool] = lambda _t: True,
) -> dict[str, object]:
    """Return the bars of one resolution, columns as the provider writes them.

    Minute bars reach 31 days back from the end of the span, longer ones five years. `is_traded`
    tells for the first second of a minute bar whether there is trade; a day without has no bar.
    """
    if resolution in MINUTES:
        found = _minute_bars(market, instrument, minutes=MINUTES[resolution], span=span)
        bars = [bar for bar in found if is_traded(bar.t)]
    else:
        found = _day_bars(market, instrument, span=span)
        bars = [bar for bar in found if any(map(is_traded, _hours_of_day(bar.t)))]
    if resolution == "W":
        bars = _joined(bars, _monday)
    if resolution == "M":
        bars = _joined(bars, _first_of_month)
    if not bars:
        return dict(NO_DATA)
    return {
        "c": [bar.c for bar in bars],
        "h": [bar.h for bar in bars],
        "l": [bar.l for bar in bars],
        "o": [bar.o for bar in bars],
        "s": "ok",
        "t": [bar.t for bar in bars],
        "v": [bar.v for bar in bars],
    }


def as_csv(columns: dict[str, object]) -> str:
    """Write bars as the provider's `format=csv` does; without data there is the head alone."""
    names = ("t", "o", "h", "l", "c", "v")
    found = [column for name in names if isinstance(column := columns.get(name), list)]
    lines = (",".join(map(str, row)) for row in zip(*found, strict=True))
    return "\n".join((",".join(names), *lines)) + "\n"


def _minute_bars(market: Market, instrument: Instrument, *, minutes: int, span: Span) -> list[Bar]:
    size = minutes * 60 // SLOT_S
    last_day = span.last // DAY_S
    bars = []
    for day in range(max(span.first // DAY_S, last_day - MOST_MINUTE_DAYS), last_day + 1):
        path = [round(price, instrument.decimals) for price in market.path(instrument, day=day)]
        for start in range(0, len(path), size):
            t = day * DAY_S + start * SLOT_S
            # A bar that is still being made ends where the span does.
            end = min(start + size, (span.last - day * DAY_S) // SLOT_S)
            if span.first <= t <= span.last:
                bars.append(_bar(instrument, t, path[start : max(end, start) + 1]))
    return bars


def _day_bars(market: Market, instrument: Instrument, *, span: Span) -> list[Bar]:
    last_day = span.last // DAY_S
    first_day = max(-(-span.first // DAY_S), last_day - MOST_DAYS)
    if first_day > last_day:
        return []
    whole = [_day_bar(market, instrument, day) for day in range(first_day, last_day)]
    return [*whole, _bar_so_far(market, instrument, at=span.last)]


def _day_bar(market: Market, instrument: Instrument, day: int) -> Bar:
    """Guess the extremes of a day from its ends: walking through years of days takes too long."""
    opened, closed = market.open_close(instrument, day=day)
    random = Random(f"{instrument.symbol}:{day}:extremes")
    reach = instrument.volatility / 2
    high = max(opened, closed) * (1 + reach * random.random())
    low = min(opened, closed) * (1 - reach * random.random())
    digits = instrument.decimals
    volume = random.randrange(1_000_000, 90_000_000)
    return Bar(day * DAY_S, opened, round(high, digits), round(low, digits), closed, volume)


def _bar_so_far(market: Market, instrument: Instrument, *, at: int) -> Bar:
    quote = market.quote(instrument, at=at)
    day = at // DAY_S
    volume = Random(f"{instrument.symbol}:{day}:extremes").randrange(1_000_000, 90_000_000)
    return Bar(day * DAY_S, quote.o, quote.h, quote.l, quote.c, volume)


def _bar(instrument: Instrument, t: int, prices: list[float]) -> Bar:
    volume = Random(f"{instrument.symbol}:{t}").randrange(1_000, 90_000)
    return Bar(t, prices[0], max(prices), min(prices), prices[-1], volume)


def _joined(bars: Iterable[Bar], start_of: Callable[[int], int]) -> list[Bar]:
    joined: dict[int, Bar] = {}
    for bar in bars:
        t = start_of(bar.t)
        so_far = joined.get(t)
        joined[t] = bar if so_far is None else _both(so_far, bar)
    return [Bar(t, bar.o, bar.h, bar.l, bar.c, bar.v) for t, bar in joined.items()]


def _both(first: Bar, second: Bar) -> Bar:
    high, low = max(first.h, second.h), min(first.l, second.l)
    return Bar(first.t, first.o, high, low, second.c, first.v + second.v)


def _hours_of_day(t: int) -> range:
    return range(t, t + DAY_S, 3600)


def _monday(t: int) -> int:
    moment = datetime.fromtimestamp(t, UTC)
    return int((moment - timedelta(days=moment.weekday())).timestamp())


def _first_of_month(t: int) -> int:
    return int(datetime.fromtimestamp(t, UTC).replace(day=1).timestamp())
