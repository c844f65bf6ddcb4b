"""Quotes from trades: the last polled quote of the day, brought up to the latest price."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from sqlalchemy.orm import Session

from infra.logs import log
from market import quotes
from market.models import Instrument, Quote
from market.quotes import Saved
from market.sessions import new_york
from market.shapes import Figures
from market.symbols import SymbolClass, class_of
from market.tape import Tick
from market.upstream import BadAnswer

# A price that leaps further is believed when it is polled.
MOST_LEAP = 5
_PERCENT_PLACES = Decimal("0.0001")


def save(
    session: Session, ticks: Iterable[Tick], *, source: str, now: datetime | None = None
) -> list[Saved]:
    """Store ticks as quotes, in the order of their symbols; return what is news.

    A trade tells no open and no previous close. Those are the last quote's, if it is of the same
    day; without one the tick is left out, the quote grows old, and so it is polled. A price that is
    out of all proportion to the quote is left out too.
    """
    in_order = sorted(ticks, key=lambda tick: tick.symbol)
    bases = _map_present(session, [tick.symbol for tick in in_order], source)
    saved = []
    for tick in in_order:
        base = bases.get(tick.symbol)
        if base is None or not _goes_with(base, tick):
            continue
        try:
            one = quotes.save(
                session, symbol=tick.symbol, figures=brought_up(base, tick), source=source, now=now
            )
        except BadAnswer:
            log.warning("tick_not_stored", symbol=tick.symbol)
            continue
        if one.changed:
            saved.append(one)
    return saved


def brought_up(base: Quote, tick: Tick) -> Figures:
    """Bring a quote of the same day up to a tick."""
    change = tick.price - base.previous_close
    percent = (change / base.previous_close * 100).quantize(_PERCENT_PLACES, ROUND_HALF_EVEN)
    return Figures(
        price=tick.price,
        change=change,
        change_percent=percent,
        high=max(base.high, tick.high),
        low=min(base.low, tick.low),
        open=base.open,
        previous_close=base.previous_close,
        provider_time=tick.at,
    )


def _map_present(session: Session, symbols: list[str], source: str) -> dict[str, Quote]:
    rows = session.scalars(
        quotes.select_present().where(Instrument.symbol.in_(symbols), Instrument.source == source)
    )
    return {quote.symbol: quote for quote in rows}


def _goes_with(base: Quote, tick: Tick) -> bool:
    symbol_class = class_of(tick.symbol)
    is_same_day = _day_of(base.provider_time, symbol_class) == _day_of(tick.at, symbol_class)
    return is_same_day and base.price / MOST_LEAP < tick.price < base.price * MOST_LEAP


def _day_of(at: datetime, symbol_class: SymbolClass) -> date:
    zone = new_york() if symbol_class is SymbolClass.EQUITY else UTC
    return at.astimezone(zone).date()
