"""Company profiles, kept whole under the provider's own keys."""

from datetime import datetime
from decimal import Decimal

import orjson
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.outbox import Change
from market import aggregates, events
from market.documents import Document, instant, number
from market.models import Company
from market.quotes import Saved


def save(session: Session, *, symbol: str, profile: dict[str, object], source: str) -> Saved:
    """Store a profile; an event only if it differs from the one before."""
    company = aggregates.lock(session, Company, symbol)
    text = orjson.dumps(profile, default=_number, option=orjson.OPT_SORT_KEYS).decode()
    changed = (company.profile, company.source) != (text, source)
    company.fetched_at = now = clock.now(session)
    company.profile, company.source = text, source
    document = _document(company, text, now)
    if changed:
        company.version += 1
        change = Change(
            topic=events.COMPANIES,
            type=events.EventType.COMPANY_UPDATED,
            subject=f"companies/{symbol}",
            version=company.version,
            data=document,
        )
        outbox.record(session, [change])
    return Saved(document, changed=changed)


def find_stored(session: Session, symbol: str) -> Document | None:
    """Find a company's last good profile in its public form."""
    company = session.get(Company, symbol)
    if company is None or company.profile is None or company.fetched_at is None:
        return None
    return _document(company, company.profile, company.fetched_at)


def _document(company: Company, profile: str, fetched_at: datetime) -> Document:
    return {
        **orjson.loads(profile),
        "symbol": company.symbol,
        "as_of": instant(fetched_at),
        "fetched_at": instant(fetched_at),
        "source": company.source,
    }


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return number(value)
    raise TypeError
