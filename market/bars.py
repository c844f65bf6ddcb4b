"""Bars: what the quotes of a minute or an hour come to, kept when the quotes themselves are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra.db import Base, BigId, UtcDateTime, binary_string
from market.models import SYMBOL_LENGTH, ExactDecimal

MINUTE, HOUR = 1, 60


class QuoteBar(Base):
    """The quotes of one minute or hour (`minutes` is 1 or 60), of one source, as one row.

    `samples` counts the quotes, `covered` the minutes that have any. Simulated and real quotes
    never share a bar.
    """

    __tablename__ = "quote_bar"

    symbol: Mapped[str] = mapped_column(binary_string(SYMBOL_LENGTH), primary_key=True)
    minutes: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    start_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    source: Mapped[str] = mapped_column(binary_string(16), primary_key=True)
    open: Mapped[Decimal] = mapped_column(ExactDecimal)
    high: Mapped[Decimal] = mapped_column(ExactDecimal)
    low: Mapped[Decimal] = mapped_column(ExactDecimal)
    close: Mapped[Decimal] = mapped_column(ExactDecimal)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    samples: Mapped[int] = mapped_column(sa.Integer)
    covered: Mapped[int] = mapped_column(sa.SmallInteger)


class QuoteRoll(Base):
    """How far the quotes of a symbol have been rolled up: all up to `quote_id` are in its bars.

    A symbol's quotes get their ids in the order of their commits, because its instrument's row lock
    makes its writers serial. `version` is the instrument's as of which nothing was left to do.
    """

    __tablename__ = "quote_roll"
    __table_args__ = (sa.Index(None, "pruned_at", "symbol"),)

    symbol: Mapped[str] = mapped_column(binary_string(SYMBOL_LENGTH), primary_key=True)
    quote_id: Mapped[int] = mapped_column(BigId, default=0)
    version: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    pruned_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices over a span of time that begins at `start_at`."""

    start_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    first_at: datetime
    last_at: datetime
    samples: int
    covered: int

    def joined(self, other: "Bar") -> "Bar":
        """Join what two bars tell of different quotes; the earlier start stays."""
        first = self if self.first_at <= other.first_at else other
        last = self if self.last_at > other.last_at else other
        return Bar(
            start_at=min(self.start_at, other.start_at),
            open=first.open,
            high=max(self.high, other.high),
            low=min(self.low, other.low),
            close=last.close,
            first_at=first.first_at,
            last_at=last.last_at,
            samples=self.samples + other.samples,
            covered=self.covered + other.covered,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One quote as far as bars know it."""

    at: datetime
    price: Decimal
    source: str


def start_of(at: datetime, *, minutes: int) -> datetime:
    """Find the start of the bar that an instant falls into, counted from midnight UTC."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (at - midnight) // timedelta(minutes=minutes) * timedelta(minutes=minutes)


def fold(session: Session, *, symbol: str, samples: Iterable[Sample]) -> None:
    """Add quotes that are in no bar yet to their minute and their hour.

    The caller sees to it that no quote comes twice and that nobody else folds the same symbol.
    """
    minutes: dict[tuple[str, datetime], Bar] = {}
    for sample in samples:
        key = sample.source, start_of(sample.at, minutes=MINUTE)
        made = _bar_of(sample, key[1])
        # A minute is covered once, however many quotes fall into it.
        minutes[key] = replace(minutes[key].joined(made), covered=1) if key in minutes else made
    known = _write(session, symbol, MINUTE, minutes)
    hours: dict[tuple[str, datetime], Bar] = {}
    for (source, start_at), bar in minutes.items():
        key = source, start_of(start_at, minutes=HOUR)
        made = replace(
            bar, start_at=key[1], covered=0 if (source, start_at) in known else bar.covered
        )
        hours[key] = hours[key].joined(made) if key in hours else made
    _write(session, symbol, HOUR, hours)


def _bar_of(sample: Sample, start_at: datetime) -> Bar:
    price, at = sample.price, sample.at
    return Bar(start_at, price, price, price, price, at, at, samples=1, covered=1)


def _write(
    session: Session, symbol: str, minutes: int, bars: dict[tuple[str, datetime], Bar]
) -> set[tuple[str, datetime]]:
    """Write bars, joined with what stands there; return the keys of those that stood there."""
    known = _map_known(session, symbol, minutes, bars)
    new, changed = [], []
    for key, bar in bars.items():
        row = {"symbol": symbol, "source": key[0], "minutes": minutes}
        if key in known:
            joined = known[key].joined(bar)
            covered = min(joined.covered, minutes)
            changed.append(_fields(replace(joined, covered=covered)) | row)
        else:
            new.append(_fields(bar) | row)
    if new:
        session.execute(sa.insert(QuoteBar), new)
    if changed:
        session.execute(sa.update(QuoteBar), changed)
    return set(known)


def _map_known(
    session: Session, symbol: str, minutes: int, bars: dict[tuple[str, datetime], Bar]
) -> dict[tuple[str, datetime], Bar]:
    known: dict[tuple[str, datetime], Bar] = {}
    for source in {source for source, _ in bars}:
        starts = [start_at for key, start_at in bars if key == source]
        rows = session.execute(
            select_bars(symbol, source=source, minutes=minutes).where(QuoteBar.start_at.in_(starts))
        )
        known |= {(source, bar.start_at): bar for bar in map(bar_of_row, rows)}
    return known


def select_bars(symbol: str, *, source: str, minutes: int) -> sa.Select[Any]:
    """Select a symbol's bars of one size and source; `bar_of_row` reads the rows."""
    return sa.select(*(getattr(QuoteBar, name) for name in _NAMES)).where(
        QuoteBar.symbol == symbol, QuoteBar.source == source, QuoteBar.minutes == minutes
    )


def bar_of_row(row: Sequence[Any]) -> Bar:
    """Read what `select_bars` selects."""
    return Bar(*row)


_NAMES = Bar.__slots__


def _fields(bar: Bar) -> dict[str, object]:
    return {name: getattr(bar, name) for name in _NAMES}
