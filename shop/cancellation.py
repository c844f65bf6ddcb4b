"""Orders that end unpaid: cancelled by their buyer, or expired because no money came.

What may have been sent to a gateway is never given up here: only orders without a live charge, or
with one that was given back unsent, can end so.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.db import Sessions, transact
from infra.errors import Conflict
from shop import locks, orders, payments, stock
from shop.locks import PaymentInProgress
from shop.orders import Order, OrderStatus
from shop.payments import Attempt, AttemptState, Payment, PaymentState

BATCH = 200
BUDGET_S = 5.0


class OrderNotCancellable(Conflict):
    """The order is not waiting for its payment any more."""

    code = "order_not_cancellable"

    def __init__(self, order_id: int, status: str) -> None:
        super().__init__(
            f"Order {order_id} is {status}: only an order that is not paid can be cancelled.",
            order_id=order_id,
            status=status,
        )


def cancel(
    session: Session, order_id: int, *, user_id: int | None, now: datetime | None = None
) -> dict[str, Any]:
    """Cancel an unpaid order and release its stock; one that is cancelled already stays so.

    Raises:
        OrderNotFound: it does not exist, or is not that of `user_id`.
        PaymentUnknown: the gateway must be asked first.
        PaymentInProgress: its charge is on the way.
        OrderNotCancellable: it is paid, or has ended in another way.
    """
    locked = locks.lock(session, order_id, user_id=user_id)
    if locked.status is OrderStatus.PENDING:
        if locked.live_attempt and locked.live_attempt["state"] != AttemptState.CREATED:
            raise PaymentInProgress(order_id)
        at = now or clock.now(session)
        _end(session, [order_id], status=OrderStatus.CANCELLED, reason="order cancelled", at=at)
    elif locked.status is not OrderStatus.CANCELLED:
        raise OrderNotCancellable(order_id, locked.status)
    return orders.get(session, order_id, user_id=None)


def expire_due(
    sessions: Sessions, *, ttl: timedelta, budget_s: float = BUDGET_S, now: datetime | None = None
) -> int:
    """End orders that have held stock for longer than `ttl` and are not paid; return how many.

    No batch begins after `budget_s`: the next sweep goes on. Safe to repeat: an order is taken
    under its payment's row lock and is pending only once.
    """
    expired, after, ends_at_s = 0, _BEGINNING, time.monotonic() + budget_s
    while True:
        taken = transact(
            sessions,
            lambda session: _expire_batch(session, after=after, ttl=ttl, now=now),  # noqa: B023 - runs at once
        )
        expired += taken.expired
        if taken.last is None or time.monotonic() > ends_at_s:
            return expired
        after = taken.last


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the list of due payments."""

    due_at: datetime
    payment_id: int


_BEGINNING = _Place(datetime(1970, 1, 1, tzinfo=UTC), 0)


@dataclass(frozen=True, slots=True)
class _Taken:
    """How many orders a batch has ended, and after which place the next begins, if any."""

    expired: int
    last: _Place | None


def _expire_batch(
    session: Session, *, after: _Place, ttl: timedelta, now: datetime | None
) -> _Taken:
    now = now or clock.now(session)
    found = session.execute(
        sa.select(Payment.id, Payment.order_id, Payment.due_at)
        .where(
            # Only unpaid orders have a due payment: a short list, however many orders there are.
            Payment.due_at >= after.due_at,
            sa.or_(Payment.due_at > after.due_at, Payment.id > after.payment_id),
            Payment.created_at <= now - ttl,
        )
        .order_by(Payment.due_at, Payment.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    order_ids = _never_sent(session, [row.order_id for row in found])
    _end(session, order_ids, status=OrderStatus.EXPIRED, reason="reservation expired", at=now)
    more = len(found) == BATCH
    last = _Place(found[-1].due_at or now, found[-1].id) if more else None
    return _Taken(len(order_ids), last)


def _never_sent(session: Session, order_ids: Sequence[int]) -> list[int]:
    """Keep the pending orders for which nothing can have reached the gateway."""
    pending = set(
        session.scalars(
            sa.select(Order.id)
            .where(Order.id.in_(order_ids), Order.status == OrderStatus.PENDING)
            .order_by(Order.id)
            .with_for_update()
        )
    )
    maybe_sent = set(
        session.scalars(
            sa.select(Attempt.live_order).where(
                Attempt.live_order.in_(order_ids), Attempt.state != AttemptState.CREATED
            )
        )
    )
    return sorted(pending - maybe_sent)


def _end(
    session: Session, order_ids: Sequence[int], *, status: OrderStatus, reason: str, at: datetime
) -> None:
    if not order_ids:
        return
    payments.mark_attempts(session, order_ids, at=at, state=AttemptState.FAILED, reason=reason)
    mine = sa.select(Payment.id).where(Payment.order_id.in_(order_ids))
    payment_ids = session.scalars(mine.order_by(Payment.id)).all()
    payments.close(session, payment_ids, at=at, state=PaymentState.SETTLED)
    stock.release(session, order_ids=order_ids)
    changes = [
        *orders.advance(session, order_ids, status=status, at=at),
        *payments.changes(session, payment_ids, kind="payment.failed"),
    ]
    outbox.record(session, changes)
