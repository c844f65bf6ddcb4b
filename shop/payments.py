"""Payments: what is due, who works on it, and what the gateway said.

The payment row is the lock of an order's money: whoever changes the one takes the other first.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, trace
from infra.database.prepared import Prepared
from infra.database.rows import among, among_given, insert_rows, table_of
from infra.db import Base, BigId, LongText, Row, UtcDateTime, binary_string
from infra.errors import NotFound
from infra.outbox import Change
from shop import money
from shop.events import PAYMENTS
from shop.payloads import PaymentData

REASON_LENGTH = 200


class PaymentState(StrEnum):
    """Whether anything is left to do."""

    DUE = "due"
    SETTLED = "settled"


class AttemptState(StrEnum):
    """What is known of one charge; only declined and failed ones let another begin."""

    CREATED = "created"
    SENDING = "sending"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    FAILED = "failed"
    NEEDS_HUMAN = "needs_human"


class Payment(Base):
    """The payment of one order: when it is due, and who holds it until when."""

    __tablename__ = "payment"
    __table_args__ = (
        sa.Index(None, "due_at", "id"),
        sa.Index(None, "fulfil_at", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    order_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("orders.id"), unique=True)
    user_id: Mapped[int] = mapped_column(BigId)
    gateway: Mapped[str] = mapped_column(binary_string(20))
    amount_minor: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.CHAR(3))
    token: Mapped[str] = mapped_column(binary_string(100))
    state: Mapped[str] = mapped_column(binary_string(16))
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_token: Mapped[str | None] = mapped_column(binary_string(36))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tries: Mapped[int] = mapped_column(sa.Integer)
    fulfil_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    request_id: Mapped[str | None] = mapped_column(
        binary_string(trace.LENGTH), default=trace.request_id
    )
    version: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Attempt(Base):
    """One charge at the gateway, with the request exactly as it is sent.

    `live_order` makes a second live charge of one order impossible to write.
    """

    __tablename__ = "attempt"
    __table_args__ = (
        sa.UniqueConstraint("order_id", "n"),
        sa.UniqueConstraint("gateway", "key"),
        sa.UniqueConstraint("gateway", "charge_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    order_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("orders.id"))
    n: Mapped[int] = mapped_column(sa.Integer)
    gateway: Mapped[str] = mapped_column(binary_string(20))
    key: Mapped[str] = mapped_column(binary_string(64))
    request: Mapped[str] = mapped_column(LongText)
    state: Mapped[str] = mapped_column(binary_string(16))
    charge_id: Mapped[str | None] = mapped_column(binary_string(100))
    reason: Mapped[str | None] = mapped_column(sa.String(REASON_LENGTH))
    first_sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    missing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    live_order: Mapped[int | None] = mapped_column(
        BigId,
        sa.Computed(
            "CASE WHEN state NOT IN ('declined', 'failed') THEN order_id END", persisted=True
        ),
        unique=True,
    )


_ATTEMPT = table_of(Attempt)
_ATTEMPTS = Prepared(
    sa.select(_ATTEMPT)
    .where(among_given(_ATTEMPT.c.order_id, "orders"))
    .order_by(_ATTEMPT.c.order_id, _ATTEMPT.c.n)
)


class PaymentNotFound(NotFound):
    """No such payment, or not one of this person's."""

    code = "payment_not_found"

    def __init__(self, payment_id: int) -> None:
        super().__init__(f"There is no payment {payment_id}.", payment_id=payment_id)


def open_for(session: Session, order: Row, *, gateway: str, token: str) -> None:
    """Make an order's payment due now."""
    now = clock.now(session)
    payment = {
        "order_id": order["id"],
        "user_id": order["user_id"],
        "gateway": gateway,
        "amount_minor": order["total_minor"],
        "currency": order["currency"],
        "token": token,
        "state": PaymentState.DUE.value,
        "due_at": now,
        "tries": 0,
        "version": 0,
        "created_at": now,
        "updated_at": now,
    }
    insert_rows(session, table_of(Payment), [payment])


def lock(session: Session, order_ids: Sequence[int]) -> None:
    """Lock the payments of orders: nobody else can move their money until the transaction ends."""
    mine = sa.select(Payment.id).where(Payment.order_id.in_(order_ids))
    session.execute(mine.order_by(Payment.id).with_for_update())


def close(session: Session, payment_ids: Sequence[int], *, at: datetime, **values: object) -> None:
    """Leave nothing due of payments that are locked, as their next version."""
    table = table_of(Payment)
    session.execute(
        sa.update(table)
        .where(among(table.c.id, payment_ids))
        .values(
            due_at=None,
            lease_token=None,
            lease_until=None,
            tries=0,
            version=table.c.version + 1,
            updated_at=at,
            **values,
        )
    )


def mark_attempts(
    session: Session, order_ids: Sequence[int], *, at: datetime, **values: object
) -> None:
    """Write what has become known of the live charges of orders, the same of all."""
    if not order_ids:
        return
    table = table_of(Attempt)
    session.execute(
        sa.update(table)
        # Found by a key that does not change with the state, or each row would be looked up twice.
        .where(among(table.c.order_id, order_ids), table.c.live_order.is_not(None))
        .values(updated_at=at, **values)
    )


def get(session: Session, payment_id: int, *, user_id: int | None) -> dict[str, Any]:
    """Read a payment as subscribers see it; with a `user_id`, only if it is that person's.

    Raises:
        PaymentNotFound: it does not exist, or is another's.
    """
    payment = session.get(Payment, payment_id)
    if payment is None or (user_id is not None and payment.user_id != user_id):
        raise PaymentNotFound(payment_id)
    return _public_all(session, [payment_id])[0]


def show(session: Session, payment_id: int, *, user_id: int | None) -> dict[str, Any]:
    """Read a payment as the API shows it: also since when it waits for a person, if it does.

    Raises:
        PaymentNotFound: it does not exist, or is another's.
    """
    found = get(session, payment_id, user_id=user_id)
    payment = session.get_one(Payment, payment_id)
    is_held = found["outcome"] == AttemptState.NEEDS_HUMAN and payment.due_at is None
    return {**found, "held_since": payment.updated_at if is_held else None}


def changes(session: Session, payment_ids: Sequence[int], *, kind: str) -> list[Change]:
    """Tell what payments look like now, as events of one type."""
    return [
        Change(PAYMENTS, kind, f"payments/{shown['id']}", shown["version"], shown)
        for shown in _public_all(session, payment_ids)
    ]


def changed(kind: str, payment: Row, attempt: Row) -> Change:
    """Tell subscribers of a change to one payment, whose newest attempt is given."""
    shown = _public(payment, attempt)
    return Change(PAYMENTS, kind, f"payments/{shown['id']}", shown["version"], shown)


def count_due(session: Session) -> int:
    """Count the payments that a run would take now, up to a thousand."""
    due = sa.select(Payment.id).where(Payment.due_at <= clock.now(session)).limit(1000)
    return session.scalar(sa.select(sa.func.count()).select_from(due.subquery())) or 0


def newest_attempts(session: Session, order_ids: Sequence[int]) -> dict[int, Row]:
    """Read the newest attempt of each of these orders; orders without one are left out."""
    return {row["order_id"]: row for row in _ATTEMPTS.read(session, orders=order_ids)}


def _public_all(session: Session, payment_ids: Sequence[int]) -> list[dict[str, Any]]:
    table = Payment.__table__
    rows = session.execute(sa.select(table).where(table.c.id.in_(payment_ids)).order_by(table.c.id))
    found = rows.mappings().all()
    newest = newest_attempts(session, [row["order_id"] for row in found])
    return [_public(row, newest.get(row["order_id"], {})) for row in found]


def _public(payment: Row, attempt: Row) -> dict[str, Any]:
    shown: PaymentData = {
        "id": payment["id"],
        "order_id": payment["order_id"],
        "user_id": payment["user_id"],
        "gateway": payment["gateway"],
        "status": payment["state"],
        "outcome": attempt.get("state"),
        "amount": money.to_number(payment["amount_minor"]),
        "currency": payment["currency"],
        "charge_id": attempt.get("charge_id"),
        "reason": attempt.get("reason"),
        "version": payment["version"],
        "created_at": payment["created_at"],
        "updated_at": payment["updated_at"],
    }
    return cast("dict[str, Any]", shown)
