"""The database's clock: the only one that leases and expiry are judged by."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

_KEY = "clock.now"


def now(session: Session) -> datetime:
    """Read the database's clock once per transaction: microseconds on MySQL, else milliseconds."""
    transaction = session.get_transaction() or session.begin()
    known = session.info.get(_KEY)
    if known is not None and known[0] is transaction:
        return known[1]  # type: ignore[no-any-return] # session.info is untyped
    instant = _read(session)
    session.info[_KEY] = (transaction, instant)
    return instant


def _read(session: Session) -> datetime:
    if session.get_bind().dialect.name == "sqlite":
        text = session.execute(sa.text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")).scalar_one()
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    instant: datetime = session.execute(sa.text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
    return instant.replace(tzinfo=UTC)
