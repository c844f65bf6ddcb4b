"""Stored quotes by the thousand, without the way that each of them would take."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Database, transact
from market.models import Instrument, Quote


def store_quotes(
    database: Database,
    symbol: str,
    quotes: Sequence[tuple[datetime, str]],
    *,
    source: str = "simulated",
) -> None:
    """Store quotes of (provider time, price) as if the provider had given them in this order."""

    def store(session: Session) -> None:
        rows = [_row(symbol, at, price, source) for at, price in quotes]
        session.execute(sa.insert(Quote), rows)
        instrument = session.get(Instrument, symbol) or Instrument(symbol=symbol, version=0)
        instrument.version += len(rows)
        instrument.source = source
        instrument.provider_time = instrument.fetched_at = quotes[-1][0]
        session.add(instrument)

    transact(database.sessions, store)


def _row(symbol: str, at: datetime, price: str, source: str) -> dict[str, object]:
    figure = Decimal(price)
    return {
        "symbol": symbol,
        "provider_time": at,
        "price": figure,
        "change": Decimal("-0.5"),
        "change_percent": None,
        "high": figure,
        "low": figure,
        "open": figure,
        "previous_close": figure,
        "source": source,
        "fetched_at": at,
    }
