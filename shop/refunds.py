"""Refunds: money given back under keys of their own; claim, act, settle, as for charges."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, failpoints, outbox
from infra.db import Base, BigId, Sessions, UtcDateTime, binary_string, transact
from infra.logs import log
from infra.outbox import Change
from infra.parallel import answer_groups
from shop import ledger, money, orders
from shop.events import PAYMENTS
from shop.gateways.protocol import (
    Answer,
    Declined,
    Missing,
    NotSent,
    PaymentGateway,
    RefundRequest,
    Succeeded,
)
from shop.ledger import Movement
from shop.orders import Order, OrderStatus
from shop.payments import Attempt, AttemptState

LEASE = timedelta(seconds=30)
DEADLINE_S = 20.0
BATCH = 50
# An unknown refund is looked for, and sent again if it is not found: its key makes it the same one.
AGAIN_AFTER = timedelta(seconds=5)


class RefundState(StrEnum):
    """What is known of one refund."""

    CREATED = "created"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Refund(Base):
    """One repayment of a charge, in full or in part."""

    __tablename__ = "refund"
    __table_args__ = (
        sa.UniqueConstraint("attempt_id", "n"),
        sa.Index(None, "due_at", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    attempt_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("attempt.id"))
    n: Mapped[int] = mapped_column(sa.Integer)
    order_id: Mapped[int] = mapped_column(BigId, index=True)
    user_id: Mapped[int] = mapped_column(BigId)
    gateway: Mapped[str] = mapped_column(binary_string(20))
    key: Mapped[str] = mapped_column(binary_string(64), unique=True)
    charge_id: Mapped[str] = mapped_column(binary_string(100))
    refund_id: Mapped[str | None] = mapped_column(binary_string(100))
    amount_minor: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.CHAR(3))
    reason: Mapped[str] = mapped_column(sa.String(200))
    state: Mapped[str] = mapped_column(binary_string(16))
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_token: Mapped[str | None] = mapped_column(binary_string(36))
    version: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class Claim:
    """A refund that is ours until the lease ends."""

    refund_id: int
    request: RefundRequest
    sent_before: bool


def begin(session: Session, order_ids: Sequence[int], *, reason: str, at: datetime) -> None:
    """Make the whole charge of each order due for repayment, in the caller's transaction."""
    attempt, order = Attempt.__table__.c, Order.__table__.c
    charged = session.execute(
        sa.select(Attempt.__table__, order.user_id, order.total_minor, order.currency)
        .join_from(Attempt.__table__, Order.__table__, order.id == attempt.order_id)
        .where(attempt.order_id.in_(order_ids), attempt.state == AttemptState.SUCCEEDED)
    )
    rows = [
        {
            "attempt_id": row["id"],
            "n": 1,
            "order_id": row["order_id"],
            "user_id": row["user_id"],
            "gateway": row["gateway"],
            "key": f"refund:{row['key']}:1",
            "charge_id": row["charge_id"],
            "amount_minor": row["total_minor"],
            "currency": row["currency"],
            "reason": reason,
            "state": RefundState.CREATED.value,
            "due_at": at,
            "version": 0,
            "created_at": at,
            "updated_at": at,
        }
        for row in charged.mappings()
    ]
    session.execute(sa.insert(Refund.__table__), rows)  # type: ignore[arg-type] # FromClause


def settle_due(sessions: Sessions, gateway: PaymentGateway, *, now: datetime | None = None) -> int:
    """Send refunds that are due and write what the gateway said; return how many succeeded.

    Safe to repeat: a refund has one holder at a time and one key for ever.
    """
    token, done = str(uuid.uuid4()), 0
    claims = transact(
        sessions, lambda session: _claim(session, token=token, gateway=gateway, now=now)
    )

    def call(claim: Claim) -> Answer:
        return ask(gateway, claim)

    limit = gateway.max_in_flight
    for group in answer_groups(call, claims, limit=limit, deadline_s=DEADLINE_S):
        failpoints.reach("refunds.sent")
        done += transact(sessions, lambda session: _settle(session, group, token=token, now=now))  # noqa: B023 - runs before the next group comes
    return done


def ask(gateway: PaymentGateway, claim: Claim) -> Answer:
    """Send a refund, or first look for it if it may have been sent before."""
    if claim.sent_before:
        found = gateway.find_refund(claim.request)
        if not isinstance(found, Missing):
            return found
    return gateway.refund(claim.request)


def _claim(
    session: Session, *, token: str, gateway: PaymentGateway, now: datetime | None
) -> list[Claim]:
    """Take due refunds; being claimed makes one due again when the lease ends."""
    now = now or clock.now(session)
    due = session.scalars(
        sa.select(Refund)
        .where(Refund.due_at <= now, Refund.gateway == gateway.name)
        .order_by(Refund.due_at, Refund.id)
        .limit(min(BATCH, gateway.max_in_flight))
        .with_for_update(skip_locked=True)
    ).all()
    claims = [
        Claim(
            refund.id,
            RefundRequest(refund.key, refund.charge_id, refund.amount_minor, refund.currency),
            sent_before=refund.state != RefundState.CREATED,
        )
        for refund in due
    ]
    for refund in due:
        refund.lease_token, refund.due_at = token, now + LEASE
        refund.state, refund.updated_at = RefundState.SENDING, now
    return claims


def _settle(
    session: Session,
    answered: Sequence[tuple[Claim, Answer]],
    *,
    token: str,
    now: datetime | None,
) -> int:
    now = now or clock.now(session)
    answers = {claim.refund_id: (claim, answer) for claim, answer in answered}
    ours = session.scalars(
        sa.select(Refund)
        .where(Refund.id.in_(list(answers)), Refund.lease_token == token)
        .order_by(Refund.id)
        .with_for_update()
    ).all()
    changes: list[Change] = []
    for refund in ours:
        changes += _write(session, refund, *answers[refund.id], at=now)
    session.flush()
    outbox.record(session, changes)
    return sum(refund.state == RefundState.SUCCEEDED for refund in ours)


def _write(
    session: Session, refund: Refund, claim: Claim, answer: Answer, *, at: datetime
) -> list[Change]:
    refund.lease_token, refund.updated_at = None, at
    match answer:
        case Succeeded(id=refund_id):
            refund.state, refund.refund_id, refund.due_at = RefundState.SUCCEEDED, refund_id, None
            return _give_back(session, refund, at=at)
        case Declined(reason=reason):
            log.error("refund_failed", refund=refund.id, order=refund.order_id, reason=reason)
            refund.state, refund.due_at = RefundState.FAILED, None
            return [_changed("refund.failed", refund)]
        case NotSent() if not claim.sent_before:
            refund.state, refund.due_at = RefundState.CREATED, at + AGAIN_AFTER
        case _:
            refund.state, refund.due_at = RefundState.UNKNOWN, at + AGAIN_AFTER
    return []


def _give_back(session: Session, refund: Refund, *, at: datetime) -> list[Change]:
    """Book the repayment; an order whose whole total went back is refunded."""
    ledger.record(
        session,
        [
            Movement(
                txn=refund.key,
                order_id=refund.order_id,
                gateway=refund.gateway,
                amount_minor=-refund.amount_minor,
                currency=refund.currency,
            )
        ],
    )
    session.execute(
        sa.update(Order)
        .where(Order.id == refund.order_id)
        .values(refunded_minor=Order.refunded_minor + refund.amount_minor)
        .execution_options(synchronize_session=False)
    )
    return [
        *orders.advance(session, [refund.order_id], status=OrderStatus.REFUNDED, at=at),
        _changed("refund.succeeded", refund),
    ]


def _changed(kind: str, refund: Refund) -> Change:
    refund.version += 1
    return Change(PAYMENTS, kind, f"refunds/{refund.id}", refund.version, public(refund))


def public(refund: Refund) -> dict[str, Any]:
    """Show a refund as subscribers see it."""
    return {
        "id": refund.id,
        "order_id": refund.order_id,
        "user_id": refund.user_id,
        "status": refund.state,
        "amount": money.to_number(refund.amount_minor),
        "currency": refund.currency,
        "reason": refund.reason,
        "version": refund.version,
        "created_at": refund.created_at,
        "updated_at": refund.updated_at,
    }
