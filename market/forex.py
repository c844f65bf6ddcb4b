"""Exchange rates of one base currency, from the provider's table or made from single pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.outbox import Change
from market import aggregates, events
from market.documents import Document, instant, number
from market.models import ForexRate, ForexTable
from market.quotes import Saved

VIA_RATES = "/forex/rates"
VIA_QUOTES = "/quote"

# All against the dollar: every other rate follows from two of them.
PAIRS = ("EUR_USD", "USD_JPY", "GBP_USD", "USD_CHF", "AUD_USD", "USD_CAD", "NZD_USD")
_DOLLAR = "USD"
# Pairs are quoted with six digits or fewer; what is made from two of them is rounded once.
_EXACT, _ROUNDED = Context(prec=28), Context(prec=10)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one unit of the base buys; `via` is the endpoint that told it."""

    by_currency: Mapping[str, Decimal]
    via: str
    provider_time: datetime | None


def pair_symbol(pair: str) -> str:
    """Name the symbol under which a pair is quoted."""
    return f"OANDA:{pair}"


def pairs_for(base: str) -> list[str]:
    """List the pairs that rates of a base are made from, its own first: none works without it."""
    if base == _DOLLAR:
        return list(PAIRS)
    own = [pair for pair in PAIRS if base in pair.split("_")] or [f"{_DOLLAR}_{base}"]
    return own + [pair for pair in PAIRS if pair not in own]


def cross(base: str, prices: Mapping[str, Decimal]) -> dict[str, Decimal] | None:
    """Make the rates of a base from the prices of pairs; None if its own pair is missing."""
    per_dollar = {_DOLLAR: Decimal(1)}
    for pair, price in prices.items():
        first, second = pair.split("_")
        if first == _DOLLAR:
            per_dollar[second] = price
        else:
            per_dollar[first] = _EXACT.divide(Decimal(1), price)
    if base not in per_dollar or len(per_dollar) == 1:
        return None
    return {
        currency: _EXACT.divide(rate, per_dollar[base]).normalize(_ROUNDED)
        for currency, rate in per_dollar.items()
    }


def save(session: Session, *, base: str, rates: Rates, source: str) -> Saved:
    """Store the rates of a base; an event only if one of them differs from before.

    Rates that this answer lacks stay as they were: a table made from pairs fills up by and by.
    """
    table = aggregates.lock(session, ForexTable, base)
    if (table.source, table.via) != (source, rates.via):
        _forget_rates(session, base)
        table.source, table.via = source, rates.via
    now = clock.now(session)
    at = rates.provider_time or now
    table.provider_time, table.fetched_at = at, now
    changed = _put_rates(session, base, rates.by_currency, at)
    document = _document(table, _list_rates(session, base), at, now)
    if changed:
        table.version += 1
        change = Change(
            topic=events.FOREX,
            type=events.EventType.FOREX_UPDATED,
            subject=f"forex/{base}",
            version=table.version,
            data=document,
        )
        outbox.record(session, [change])
    return Saved(document, changed=changed)


def find_stored(session: Session, base: str) -> Document | None:
    """Find the last good rates of a base in their public form."""
    table = session.get(ForexTable, base)
    if table is None or table.provider_time is None or table.fetched_at is None:
        return None
    return _document(table, _list_rates(session, base), table.provider_time, table.fetched_at)


def _list_rates(session: Session, base: str) -> list[ForexRate]:
    return list(
        session.scalars(
            sa.select(ForexRate).where(ForexRate.base == base).order_by(ForexRate.currency)
        )
    )


def _forget_rates(session: Session, base: str) -> None:
    session.execute(sa.delete(ForexRate).where(ForexRate.base == base))


def _put_rates(
    session: Session, base: str, by_currency: Mapping[str, Decimal], at: datetime
) -> bool:
    known = {row.currency: row for row in _list_rates(session, base)}
    changed = False
    for currency, rate in by_currency.items():
        row = known.get(currency)
        if row is None:
            session.add(ForexRate(base=base, currency=currency, rate=rate, provider_time=at))
            changed = True
            continue
        changed = changed or row.rate != rate
        row.rate, row.provider_time = rate, at
    session.flush()
    return changed


def _document(
    table: ForexTable, rates: Sequence[ForexRate], at: datetime, fetched_at: datetime
) -> Document:
    return {
        "base": table.base,
        "quote": {rate.currency: number(rate.rate) for rate in rates},
        "as_of": instant(at),
        "fetched_at": instant(fetched_at),
        "source": table.source,
        "via": table.via,
        # Pairs that the budget did not allow yet are missing.
        "complete": table.via == VIA_RATES or len(rates) > len(PAIRS),
    }
