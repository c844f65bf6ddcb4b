"""Change what an order wants while nobody has begun to take its money."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.errors import Conflict
from shop import checkout, locks, orders, stock
from shop.checkout import Terms
from shop.locks import PaymentInProgress
from shop.orders import Order, OrderLine, OrderStatus
from shop.payments import Payment


class OrderNotChangeable(Conflict):
    """The order does not wait for its payment any more."""

    code = "order_not_changeable"

    def __init__(self, order_id: int, status: str) -> None:
        super().__init__(
            f"Order {order_id} is {status}: only a pending order can be changed.",
            order_id=order_id,
            status=status,
        )


def amend(
    session: Session,
    order_id: int,
    quantities: Mapping[int, int],
    *,
    user_id: int | None,
    terms: Terms,
    expected_total_minor: int | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Replace an order's lines at today's prices and hold its stock anew.

    Raises:
        OrderNotFound: it does not exist, or is not that of `user_id`.
        OrderNotChangeable, PaymentInProgress, PaymentUnknown: it is too late.
        UnknownProduct, OutOfStock, PriceChanged, OrderTooLarge, NothingToPay: nothing was changed.
    """
    locked = locks.lock(session, order_id, user_id=user_id)
    if locked.status is not OrderStatus.PENDING:
        raise OrderNotChangeable(order_id, locked.status)
    if locked.live_attempt:
        raise PaymentInProgress(order_id)
    lines = checkout.price(session, quantities, replace(terms, currency=locked.order["currency"]))
    amounts = checkout.add_up(lines, expected_total_minor=expected_total_minor)
    _replace_lines(session, order_id, lines)
    stock.hold_instead(session, order_id=order_id, quantities=quantities, low_at=terms.low_stock)
    return _write(session, order_id, amounts, at=now or clock.now(session))


def _replace_lines(session: Session, order_id: int, lines: list[dict[str, Any]]) -> None:
    session.execute(sa.delete(OrderLine).where(OrderLine.order_id == order_id))
    rows = [{**line, "order_id": order_id} for line in lines]
    session.execute(sa.insert(OrderLine.__table__), rows)  # type: ignore[arg-type] # FromClause


def _write(
    session: Session, order_id: int, amounts: Mapping[str, int], *, at: datetime
) -> dict[str, Any]:
    session.execute(
        sa.update(Order)
        .where(Order.id == order_id)
        .values(**amounts, version=Order.version + 1, updated_at=at)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        sa.update(Payment)
        .where(Payment.order_id == order_id)
        .values(amount_minor=amounts["total_minor"], updated_at=at)
        .execution_options(synchronize_session=False)
    )
    (change,) = orders.changes(session, [order_id], kind="order.updated")
    outbox.record(session, [change])
    return change.data
