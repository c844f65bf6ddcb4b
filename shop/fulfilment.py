"""Fulfil paid orders: stock leaves the house or, for a withdrawn product, money goes back."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.db import Sessions, transact
from shop import orders, refunds, stock
from shop.orders import OrderStatus
from shop.payments import Payment
from shop.products import Product

BATCH = 200


def fulfil_due(sessions: Sessions, *, now: datetime | None = None) -> int:
    """Fulfil every paid order whose delay is over, a batch to a transaction; return how many.

    Safe to repeat: an order is taken under its payment's row lock and leaves the list with it.
    """
    done = 0
    while True:
        batch = transact(sessions, lambda session: _fulfil_batch(session, now=now))
        done += batch
        if batch < BATCH:
            return done


def _fulfil_batch(session: Session, *, now: datetime | None) -> int:
    now = now or clock.now(session)
    payment = Payment.__table__.c
    due = session.execute(
        sa.select(payment.id, payment.order_id, payment.request_id)
        .where(payment.fulfil_at <= now)
        .order_by(payment.fulfil_at, payment.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    if not due:
        return 0
    session.execute(
        sa.update(Payment)
        .where(Payment.id.in_([row.id for row in due]))
        .values(fulfil_at=None)
        .execution_options(synchronize_session=False)
    )
    _fulfil(session, {row.order_id: row.request_id for row in due}, at=now)
    return len(due)


def _fulfil(session: Session, asked_by: Mapping[int, str | None], *, at: datetime) -> None:
    order_ids = list(asked_by)
    undeliverable = _with_withdrawn_products(session, order_ids)
    deliverable = [order_id for order_id in order_ids if order_id not in undeliverable]
    stock.commit(session, order_ids=deliverable)
    stock.release(session, order_ids=undeliverable)
    changes = orders.advance(session, deliverable, status=OrderStatus.COMPLETED, at=at)
    if undeliverable:
        refunds.begin(session, undeliverable, reason="product withdrawn", at=at)
        changes += orders.advance(session, undeliverable, status=OrderStatus.REFUNDING, at=at)
    requests = {f"orders/{order_id}": asked for order_id, asked in asked_by.items()}
    outbox.record(session, changes, asked_by=requests)


def _with_withdrawn_products(session: Session, order_ids: Sequence[int]) -> list[int]:
    """Find orders of which a product is no longer on sale; the others' stay so until commit."""
    held = stock.held_by(session, order_ids)
    wanted = sorted({product_id for products in held.values() for product_id in products})
    on_sale = set(
        session.scalars(
            sa.select(Product.id)
            .where(Product.id.in_(wanted), Product.withdrawn_at.is_(None))
            .order_by(Product.id)
            .with_for_update(read=True)
        )
    )
    return [order_id for order_id, products in held.items() if not on_sale.issuperset(products)]
