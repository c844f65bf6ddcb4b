"""Quotes: at most one row per symbol and provider time, an event for each new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.outbox import Change
from market import aggregates
from market.documents import Document, instant, number
from market.models import Instrument, Quote
from market.shapes import Figures
from market.symbols import class_of
from market.upstream import BadAnswer

_AHEAD = timedelta(seconds=60)
_BEHIND = timedelta(days=366)
# A polled quote, in whole seconds, may be somewhat behind the trades of the websocket.
LAG = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Saved:
    """What stands now, in its public form, and whether that is news."""

    document: Document
    changed: bool


def save(
    session: Session, *, symbol: str, figures: Figures, source: str, now: datetime | None = None
) -> Saved:
    """Store a quote that the provider has just given.

    Safe to repeat: the same provider time again writes no row and no event, and only notes that the
    quote was confirmed; so does one that is a moment behind what is known.

    Raises:
        BadAnswer: its time lies in the future, far in the past, or before that of the last one.
    """
    now = now or clock.now(session)
    instrument = aggregates.lock(session, Instrument, symbol)
    _refuse_wrong_time(instrument, figures, source, now)
    known = instrument.source == source and _is_known(instrument.provider_time, figures)
    instrument.fetched_at = now
    if known:
        return Saved(_document(instrument, _present(session, instrument)), changed=False)
    instrument.version += 1
    instrument.provider_time = figures.provider_time
    instrument.source = source
    quote = _put(session, symbol, figures, source, now)
    document = _document(instrument, quote)
    symbol_class = class_of(symbol)
    change = Change(
        topic=symbol_class.topic,
        type=symbol_class.event_type,
        subject=f"quotes/{symbol}",
        version=instrument.version,
        data=document,
    )
    outbox.record(session, [change])
    return Saved(document, changed=True)


def find_stored(session: Session, symbol: str) -> Document | None:
    """Find the last good quote of a symbol in its public form."""
    instrument = session.get(Instrument, symbol)
    if instrument is None or instrument.provider_time is None:
        return None
    return _document(instrument, _present(session, instrument))


def document(quote: Quote) -> Document:
    """Show a stored quote under the provider's keys."""
    return {
        "c": number(quote.price),
        "d": number(quote.change),
        "dp": number(quote.change_percent),
        "h": number(quote.high),
        "l": number(quote.low),
        "o": number(quote.open),
        "pc": number(quote.previous_close),
        "t": int(quote.provider_time.timestamp()),
        "as_of": instant(quote.provider_time),
        "fetched_at": instant(quote.fetched_at),
        "source": quote.source,
    }


def select_present() -> sa.Select[Quote]:
    """Begin a query of each symbol's latest quote, beside its instrument."""
    is_latest = Instrument.provider_time == Quote.provider_time
    return sa.select(Quote).join(Instrument, sa.and_(Instrument.symbol == Quote.symbol, is_latest))


def map_confirmed_since(
    session: Session, symbols: Sequence[str], *, since: datetime
) -> dict[str, Quote]:
    """Map symbols to their quotes, where the provider has confirmed them since an instant."""
    rows = session.scalars(
        select_present().where(Instrument.symbol.in_(symbols), Instrument.fetched_at >= since)
    )
    return {quote.symbol: quote for quote in rows}


def map_confirmed_at(session: Session, symbols: Sequence[str]) -> dict[str, datetime]:
    """Map symbols to the instants at which the provider last confirmed their quotes."""
    rows = session.execute(
        sa.select(Instrument.symbol, Instrument.fetched_at).where(
            Instrument.symbol.in_(symbols), Instrument.fetched_at.is_not(None)
        )
    )
    return {symbol: at for symbol, at in rows if at is not None}


def _refuse_wrong_time(
    instrument: Instrument, figures: Figures, source: str, now: datetime
) -> None:
    if not now - _BEHIND < figures.provider_time < now + _AHEAD:
        raise BadAnswer("the quote's time is absurd")
    before = instrument.provider_time
    # Simulated and real quotes have clocks of their own.
    if before and instrument.source == source and figures.provider_time < before - LAG:
        raise BadAnswer("the quote is older than the one before")


def _is_known(before: datetime | None, figures: Figures) -> bool:
    return before is not None and before - LAG <= figures.provider_time <= before


def _present(session: Session, instrument: Instrument) -> Quote:
    return session.scalars(
        sa.select(Quote).where(
            Quote.symbol == instrument.symbol, Quote.provider_time == instrument.provider_time
        )
    ).one()


def _put(session: Session, symbol: str, figures: Figures, source: str, now: datetime) -> Quote:
    """Write the row; one that stands there already comes from another source, and gives way."""
    there = session.scalars(
        sa.select(Quote).where(Quote.symbol == symbol, Quote.provider_time == figures.provider_time)
    ).one_or_none()
    if there is not None:
        # Not changed in place: with an id of its own it is yet to be rolled up into bars.
        session.delete(there)
        session.flush()
    quote = Quote(
        symbol=symbol,
        provider_time=figures.provider_time,
        price=figures.price,
        change=figures.change,
        change_percent=figures.change_percent,
        high=figures.high,
        low=figures.low,
        open=figures.open,
        previous_close=figures.previous_close,
        source=source,
        fetched_at=now,
    )
    session.add(quote)
    return quote


def _document(instrument: Instrument, quote: Quote) -> Document:
    shown = {"symbol": quote.symbol, **document(quote)}
    return shown | {"fetched_at": instant(instrument.fetched_at or quote.fetched_at)}
