"""Stored quotes of a symbol, as they came: in pages, or all of them in chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Sessions, transact
from market.models import Instrument, Quote
from market.upstream import UnknownSymbol

CHUNK = 2000
_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """The provider's times that quotes are wanted of, both ends included."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """A stored quote with its figures as text: exact, and cheap by the million."""

    provider_time: datetime
    price: str
    change: str | None
    change_percent: str | None
    high: str
    low: str
    open: str
    previous_close: str
    source: str


def check_known(session: Session, symbol: str) -> None:
    """Make sure that we have had a quote of a symbol.

    Raises:
        UnknownSymbol: we have not.
    """
    instrument = session.get(Instrument, symbol)
    if instrument is None or instrument.provider_time is None:
        raise UnknownSymbol(symbol)


def list_quotes(
    session: Session, *, symbol: str, span: Span, limit: int, below: int | None
) -> list[Quote]:
    """List quotes, newest first; `below` is the `key` of the last one seen."""
    query = (
        sa.select(Quote)
        .where(Quote.symbol == symbol, Quote.provider_time.between(span.first, span.last))
        .order_by(Quote.provider_time.desc())
        .limit(limit)
    )
    if below is not None:
        query = query.where(Quote.provider_time < _EPOCH + below * _MICROSECOND)
    return list(session.scalars(query))


def key(quote: Quote) -> int:
    """Make a quote's place in its symbol's list: its provider time in microseconds."""
    return (quote.provider_time - _EPOCH) // _MICROSECOND


def iterate(
    reads: Sessions, *, symbol: str, span: Span, at_once: int = CHUNK
) -> Iterator[list[Line]]:
    """Read all quotes of a span, oldest first, in chunks; each is a short transaction.

    No transaction stays open while a slow reader takes his time, and no chunk costs more than the
    first, however far in it lies.
    """
    after = span.first - _MICROSECOND
    read = partial(_list_lines, symbol=symbol, last=span.last, limit=at_once)
    while chunk := transact(reads, partial(read, after=after)):
        yield chunk
        if len(chunk) < at_once:
            return
        after = chunk[-1].provider_time


def _list_lines(
    session: Session, *, symbol: str, after: datetime, last: datetime, limit: int
) -> list[Line]:
    figures = (
        Quote.price,
        Quote.change,
        Quote.change_percent,
        Quote.high,
        Quote.low,
        Quote.open,
        Quote.previous_close,
    )
    as_text = (sa.type_coerce(figure, sa.String) for figure in figures)
    rows: Sequence[Any] = session.execute(
        sa.select(Quote.provider_time, *as_text, Quote.source)
        .where(Quote.symbol == symbol, Quote.provider_time > after, Quote.provider_time <= last)
        .order_by(Quote.provider_time)
        .limit(limit)
    ).all()
    return [Line(*row) for row in rows]
