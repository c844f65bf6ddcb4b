"""Double entry: every movement of money is two rows that sum to zero, and is never changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock
from infra.database.rows import insert_rows, table_of
from infra.db import Base, BigId, UtcDateTime, binary_string

SALES = "sales"


class Entry(Base):
    """One side of a movement; positive is a debit. `txn` is the gateway key that caused it."""

    __tablename__ = "ledger"

    txn: Mapped[str] = mapped_column(binary_string(64), primary_key=True)
    account: Mapped[str] = mapped_column(binary_string(40), primary_key=True)
    order_id: Mapped[int] = mapped_column(BigId, index=True)
    amount_minor: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.CHAR(3))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that came in (positive) or went back (negative) at a gateway, for an order."""

    txn: str
    order_id: int
    gateway: str
    amount_minor: int
    currency: str


def record(session: Session, movements: Iterable[Movement], *, at: datetime | None = None) -> None:
    """Write both sides of each movement; a second time is refused by the key."""
    now = at or clock.now(session)
    rows = [
        {
            "txn": movement.txn,
            "account": account,
            "order_id": movement.order_id,
            "amount_minor": amount,
            "currency": movement.currency,
            "created_at": now,
        }
        for movement in movements
        for account, amount in (
            (f"gateway:{movement.gateway}", movement.amount_minor),
            (SALES, -movement.amount_minor),
        )
    ]
    insert_rows(session, table_of(Entry), rows)
