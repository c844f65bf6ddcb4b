"""What no run can find out and a person must decide: which charges and refunds, and since when."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Row
from infra.events.backlog import MOST
from shop import money
from shop.gateway_calls import GatewayCall
from shop.orders import Order, OrderStatus
from shop.payments import Attempt, AttemptState, Payment
from shop.refunds import Refund, RefundState

MOST_LISTED = 1000


class HeldKind(StrEnum):
    """What waits for a person."""

    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Held:
    """A charge or a refund that waits for a person; a charge is settled by its order's id.

    `reason` is why the gateway's last answer proves nothing, if there was one.
    """

    what: HeldKind
    order_id: int
    refund_id: int | None
    key: str
    amount_minor: int
    currency: str
    asked_at: datetime
    held_since: datetime
    reason: str | None

    def public(self) -> dict[str, Any]:
        """Show it as the API and the commands do."""
        return {
            "what": self.what,
            "order_id": self.order_id,
            "refund_id": self.refund_id,
            "key": self.key,
            "amount": money.to_number(self.amount_minor),
            "currency": self.currency,
            "asked_at": self.asked_at,
            "held_since": self.held_since,
            "reason": self.reason,
        }


def list_all(session: Session, *, order_id: int | None = None) -> list[Held]:
    """List what waits for a person, the longest first, at most `MOST_LISTED` of each kind.

    With an `order_id`, only what is held of that order.
    """
    charges, refunds = (
        query.limit(MOST_LISTED) for query in (_charges(order_id), _refunds(order_id))
    )
    found = [_charge(row) for row in session.execute(charges).mappings()]
    found += [_refund(row) for row in session.execute(refunds).mappings()]
    return sorted(_with_reasons(session, found), key=lambda it: it.held_since)


def count(session: Session) -> dict[HeldKind, int]:
    """Count what waits for a person, of each kind up to `MOST`."""
    queries = {HeldKind.CHARGE: _charges(None), HeldKind.REFUND: _refunds(None)}
    return {what: _count(session, query) for what, query in queries.items()}


def _count(session: Session, query: sa.Select[Any]) -> int:
    some = query.with_only_columns(query.selected_columns["key"]).limit(MOST).subquery()
    return session.scalar(sa.select(sa.func.count()).select_from(some)) or 0


def _charges(order_id: int | None) -> sa.Select[Any]:
    # From the few orders in doubt, which have an index: attempts are as many as orders.
    attempt, payment = Attempt.__table__.c, Payment.__table__.c
    query = (
        sa.select(
            attempt.order_id,
            attempt.key,
            attempt.created_at,
            attempt.updated_at,
            attempt.reason,
            payment.amount_minor,
            payment.currency,
        )
        .select_from(Order)
        .join(Payment, payment.order_id == Order.id)
        .join(Attempt, attempt.live_order == Order.id)
        .where(
            Order.status == OrderStatus.PAYMENT_UNKNOWN,
            attempt.state == AttemptState.NEEDS_HUMAN,
            payment.due_at.is_(None),
        )
    )
    return query if order_id is None else query.where(Order.id == order_id)


def _refunds(order_id: int | None) -> sa.Select[Any]:
    refund = Refund.__table__
    query = sa.select(refund).where(
        refund.c.state == RefundState.UNKNOWN, refund.c.due_at.is_(None)
    )
    return query if order_id is None else query.where(refund.c.order_id == order_id)


def _charge(row: Row) -> Held:
    return Held(
        HeldKind.CHARGE,
        row["order_id"],
        None,
        row["key"],
        row["amount_minor"],
        row["currency"],
        asked_at=row["created_at"],
        held_since=row["updated_at"],
        reason=row["reason"],
    )


def _refund(row: Row) -> Held:
    return Held(
        HeldKind.REFUND,
        row["order_id"],
        row["id"],
        row["key"],
        row["amount_minor"],
        row["currency"],
        asked_at=row["created_at"],
        held_since=row["updated_at"],
        reason=None,  # a refund's own says why it was asked for
    )


def _with_reasons(session: Session, found: Sequence[Held]) -> list[Held]:
    """Say what the last call came to, if there was one that is written down."""
    call = GatewayCall.__table__.c
    said = session.execute(
        sa.select(call.key, call.outcome, call.reason)
        .where(
            call.order_id.in_([it.order_id for it in found]),
            call.key.in_([it.key for it in found]),
        )
        .order_by(call.id)
    )
    last = {row.key: row.reason or row.outcome for row in said}
    return [replace(it, reason=last.get(it.key, it.reason)) for it in found]
