"""What describes the market itself: the last good answer of each kind, kept in the tables."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, time

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from market.documents import Document, instant
from market.holidays import Calendar, Holiday
from market.hours import Hours, Told
from market.models import Reference
from market.reference_shapes import Match, Status
from market.sessions import Session as TradingSession

STATUS, HOLIDAYS = "status US", "holidays US"
EXCHANGES = ("binance", "oanda")


def symbols_of(exchange: str) -> str:
    """Name the list of an exchange's symbols."""
    return f"symbols {exchange}"


def save_status(session: Session, status: Status, *, source: str) -> Document:
    """Keep what the exchange does."""
    content: Document = {"session": status.session, "holiday": status.holiday}
    return _save(session, STATUS, content, source=source, as_of=status.at)


def save_holidays(session: Session, holidays: Sequence[Holiday], *, source: str) -> Document:
    """Keep the exchange's holidays."""
    return _save(session, HOLIDAYS, {"holidays": [asdict(one) for one in holidays]}, source=source)


def save_symbols(
    session: Session, exchange: str, matches: Sequence[Match], *, source: str
) -> Document:
    """Keep the symbols of an exchange."""
    content: Document = {"symbols": [asdict(one) for one in matches]}
    return _save(session, symbols_of(exchange), content, source=source)


def find(session: Session, name: str) -> Document | None:
    """Find what is kept under a name, with where it comes from and when."""
    kept = session.get(Reference, name)
    return None if kept is None else _document(kept)


def map_fetched_at(session: Session, names: Sequence[str]) -> dict[str, datetime]:
    """Map names to when they were last fetched."""
    rows = session.execute(
        sa.select(Reference.name, Reference.fetched_at).where(Reference.name.in_(names))
    )
    return dict(rows.all())


def list_symbols(session: Session, exchange: str) -> list[Match]:
    """List the symbols of an exchange; none if they have not been fetched yet."""
    kept = session.get(Reference, symbols_of(exchange))
    return [] if kept is None else [Match(**one) for one in orjson.loads(kept.document)["symbols"]]


def read_hours(session: Session, hours: Hours) -> None:
    """Bring a process' trading hours up to what is kept."""
    holidays = session.get(Reference, HOLIDAYS)
    if holidays is not None:
        listed = orjson.loads(holidays.document)["holidays"]
        hours.calendar = Calendar.of([_holiday(one) for one in listed])
    status = session.get(Reference, STATUS)
    if status is not None:
        told = orjson.loads(status.document)["session"]
        hours.told = Told(TradingSession(told), status.fetched_at)


def _save(
    session: Session, name: str, content: Document, *, source: str, as_of: datetime | None = None
) -> Document:
    now = clock.now(session)
    kept = session.get(Reference, name, with_for_update=True) or Reference(name=name)
    kept.document = orjson.dumps(content).decode()
    kept.source = source
    kept.as_of, kept.fetched_at = as_of or now, now
    session.add(kept)
    return _document(kept)


def _document(kept: Reference) -> Document:
    return {
        **orjson.loads(kept.document),
        "as_of": instant(kept.as_of),
        "fetched_at": instant(kept.fetched_at),
        "source": kept.source,
    }


def _holiday(kept: dict[str, str | None]) -> Holiday:
    closes = kept["closes"]
    return Holiday(
        date.fromisoformat(str(kept["at"])),
        str(kept["name"]),
        time.fromisoformat(closes) if closes else None,
    )
