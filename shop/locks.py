"""The one order in which the rows of an order are locked: payment, order, attempt, then stock."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from infra.db import Row
from infra.errors import Conflict
from shop.orders import Order, OrderNotFound, OrderStatus
from shop.payments import Attempt, Payment, PaymentState


class PaymentUnknown(Conflict):
    """Nobody knows yet whether the order has been paid; the gateway is being asked."""

    code = "payment_unknown"
    retry_after_s = 30

    def __init__(self, order_id: int) -> None:
        super().__init__(
            f"Whether order {order_id} has been paid is not known yet: the payment gateway is "
            "being asked. Try again later.",
            order_id=order_id,
        )


class PaymentInProgress(Conflict):
    """The order is being paid for right now."""

    code = "payment_in_progress"
    retry_after_s = 2

    def __init__(self, order_id: int) -> None:
        super().__init__(f"Order {order_id} is being paid for right now.", order_id=order_id)


@dataclass(frozen=True, slots=True)
class LockedOrder:
    """An order whose money nobody else can move until the transaction ends."""

    order: Row
    payment: Row
    live_attempt: Row | None

    @property
    def id(self) -> int:
        """The order's id."""
        return int(self.order["id"])

    @property
    def status(self) -> OrderStatus:
        """Where the order stands."""
        return OrderStatus(self.order["status"])


def lock(session: Session, order_id: int, *, user_id: int | None) -> LockedOrder:
    """Lock an order's payment, itself and its live attempt; with a `user_id`, only that person's.

    Raises:
        OrderNotFound: it does not exist, or is another's.
        PaymentUnknown: the gateway must be asked before anything else is done.
    """
    locked = lock_in_doubt(session, order_id, user_id=user_id)
    if locked.status is OrderStatus.PAYMENT_UNKNOWN:
        raise PaymentUnknown(order_id)
    return locked


def lock_in_doubt(session: Session, order_id: int, *, user_id: int | None = None) -> LockedOrder:
    """Lock an order as `lock` does, also while it is unknown if it has been paid.

    Raises:
        OrderNotFound: it does not exist, or is another's.
    """
    owner = session.scalar(sa.select(Order.user_id).where(Order.id == order_id))
    if owner is None or user_id not in (None, owner):
        raise OrderNotFound(order_id)
    payment, order, attempt = Payment.__table__, Order.__table__, Attempt.__table__
    paid = sa.select(payment).where(payment.c.order_id == order_id)
    wanted = sa.select(order).where(order.c.id == order_id)
    live = sa.select(attempt).where(attempt.c.live_order == order_id)
    return LockedOrder(
        payment=session.execute(paid.with_for_update()).mappings().one(),
        order=session.execute(wanted.with_for_update()).mappings().one(),
        live_attempt=session.execute(live.with_for_update()).mappings().one_or_none(),
    )


def is_unknown(session: Session, order_id: int) -> bool:
    """Tell whether it is still unknown if the order has been paid."""
    status = session.scalar(sa.select(Order.status).where(Order.id == order_id))
    return status == OrderStatus.PAYMENT_UNKNOWN


def check_now(session: Session, order_id: int, *, now: datetime | None = None) -> None:
    """Make the next look at a charge in doubt due now, unless somebody is at it."""
    session.execute(
        sa.update(Payment)
        .where(
            Payment.order_id == order_id,
            Payment.state == PaymentState.DUE,
            Payment.lease_token.is_(None),
        )
        .values(due_at=now or clock.now(session))
        .execution_options(synchronize_session=False)
    )
