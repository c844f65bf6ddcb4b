"""Refunds: money to be given back under keys of their own, never above what was taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import trace
from infra.db import (
    Base,
    BigId,
    LongText,
    Row,
    UtcDateTime,
    binary_string,
)
from infra.outbox import Change
from shop import money
from shop.events import PAYMENTS
from shop.orders import Order
from shop.payloads import RefundData
from shop.payments import Attempt, AttemptState


class RefundState(StrEnum):
    """What is known of one refund."""

    CREATED = "created"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OPEN = (RefundState.CREATED, RefundState.SENDING, RefundState.UNKNOWN)


class Refund(Base):
    """One repayment of a charge, in full or in part.

    `restock` is what comes back with it, as JSON: quantities by product id.
    """

    __tablename__ = "refund"
    __table_args__ = (
        sa.UniqueConstraint("attempt_id", "n"),
        sa.Index(None, "due_at", "id"),
        sa.Index(None, "state", "due_at"),
        sa.Index(None, "order_id", "idempotency_key", unique=True),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    attempt_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("attempt.id"))
    n: Mapped[int] = mapped_column(sa.Integer)
    order_id: Mapped[int] = mapped_column(BigId)
    user_id: Mapped[int] = mapped_column(BigId)
    gateway: Mapped[str] = mapped_column(binary_string(20))
    key: Mapped[str] = mapped_column(binary_string(64), unique=True)
    charge_id: Mapped[str] = mapped_column(binary_string(100))
    refund_id: Mapped[str | None] = mapped_column(binary_string(100))
    amount_minor: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.CHAR(3))
    reason: Mapped[str] = mapped_column(sa.String(200))
    requested_by: Mapped[int | None] = mapped_column(BigId)
    request_id: Mapped[str | None] = mapped_column(
        binary_string(trace.LENGTH), default=trace.request_id
    )
    idempotency_key: Mapped[str | None] = mapped_column(binary_string(255))
    request_hash: Mapped[str | None] = mapped_column(binary_string(64))
    restock: Mapped[str | None] = mapped_column(LongText)
    state: Mapped[str] = mapped_column(binary_string(16))
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_token: Mapped[str | None] = mapped_column(binary_string(36))
    tries: Mapped[int] = mapped_column(sa.Integer, default=0, server_default="0")
    first_sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class Wish:
    """A refund that somebody asked for; `request_hash` tells it from others under its key."""

    amount_minor: int
    reason: str
    requested_by: int | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    restock: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Captured:
    """A charge that succeeded, locked, with every refund of it."""

    attempt: Row
    order: Row
    refunds: Sequence[Refund]

    @property
    def left_minor(self) -> int:
        """What can still be given back: refunds that failed give nothing back."""
        alive = (it.amount_minor for it in self.refunds if it.state != RefundState.FAILED)
        return int(self.order["total_minor"]) - sum(alive)


def lock_captured(session: Session, order_ids: Sequence[int]) -> list[Captured]:
    """Lock the successful charges of orders whose payment rows are locked."""
    attempt, order = Attempt.__table__, Order.__table__
    charged = sa.select(attempt).where(
        attempt.c.live_order.in_(order_ids), attempt.c.state == AttemptState.SUCCEEDED
    )
    attempts = session.execute(charged.order_by(attempt.c.order_id).with_for_update()).mappings()
    found = attempts.all()
    of_order = sa.select(order).where(order.c.id.in_([row["order_id"] for row in found]))
    orders_by_id = {row["id"]: row for row in session.execute(of_order).mappings()}
    made: dict[int, list[Refund]] = {}
    for refund in session.scalars(
        sa.select(Refund)
        .where(Refund.order_id.in_(list(orders_by_id)))
        .order_by(Refund.n)
        .execution_options(populate_existing=True)
    ):
        made.setdefault(refund.order_id, []).append(refund)
    return [
        Captured(row, orders_by_id[row["order_id"]], made.get(row["order_id"], ())) for row in found
    ]


def begin(session: Session, order_ids: Sequence[int], *, reason: str, at: datetime) -> None:
    """Make what is left of each order's charge due for repayment, in the caller's transaction."""
    for captured in lock_captured(session, order_ids):
        if captured.left_minor:
            add(session, captured, Wish(captured.left_minor, reason), at=at)


def add(session: Session, captured: Captured, wish: Wish, *, at: datetime) -> Refund:
    """Write down one more refund of a charge, due now, under a key of its own."""
    n = 1 + max((refund.n for refund in captured.refunds), default=0)
    refund = Refund(
        attempt_id=captured.attempt["id"],
        n=n,
        order_id=captured.order["id"],
        user_id=captured.order["user_id"],
        gateway=captured.attempt["gateway"],
        key=f"refund:{captured.attempt['key']}:{n}",
        charge_id=captured.attempt["charge_id"],
        amount_minor=wish.amount_minor,
        currency=captured.order["currency"],
        reason=wish.reason,
        requested_by=wish.requested_by,
        idempotency_key=wish.idempotency_key,
        request_hash=wish.request_hash,
        restock=orjson.dumps(wish.restock, option=orjson.OPT_NON_STR_KEYS).decode()
        if wish.restock
        else None,
        state=RefundState.CREATED.value,
        due_at=at,
        version=0,
        created_at=at,
        updated_at=at,
    )
    session.add(refund)
    session.flush()
    return refund


def restocked(refund: Refund) -> dict[int, int]:
    """Read what comes back into stock with a refund: quantities by product id."""
    kept: dict[str, int] = orjson.loads(refund.restock) if refund.restock else {}
    return {int(product_id): quantity for product_id, quantity in kept.items()}


def changed(kind: str, refund: Refund) -> Change:
    """Tell subscribers of a change to a refund, which is a version of its own."""
    refund.version += 1
    return Change(PAYMENTS, kind, f"refunds/{refund.id}", refund.version, public(refund))


def public(refund: Refund) -> dict[str, Any]:
    """Show a refund as subscribers see it."""
    shown: RefundData = {
        "id": refund.id,
        "order_id": refund.order_id,
        "user_id": refund.user_id,
        "status": refund.state,
        "amount": money.to_number(refund.amount_minor),
        "currency": refund.currency,
        "reason": refund.reason,
        "restock": [
            {"product_id": product_id, "quantity": quantity}
            for product_id, quantity in restocked(refund).items()
        ],
        "version": refund.version,
        "created_at": refund.created_at,
        "updated_at": refund.updated_at,
    }
    return cast("dict[str, Any]", shown)


def shown(refund: Refund) -> dict[str, Any]:
    """Show a refund as the API does: also since when it waits for a person, if it does."""
    is_held = refund.state == RefundState.UNKNOWN and refund.due_at is None
    return {**public(refund), "held_since": refund.updated_at if is_held else None}
