"""Fulfil paid orders: stock leaves the house or, for a withdrawn product, money goes back."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.database.prepared import Prepared
from infra.database.rows import among_given, table_of
from infra.db import Sessions, transact
from shop import orders, refunds, stock
from shop.orders import OrderStatus
from shop.payments import Payment
from shop.products import Product

BATCH = 200
BUDGET_S = 5.0
_PAYMENT, _PRODUCT = table_of(Payment), table_of(Product)
_DUE = Prepared(
    sa.select(_PAYMENT.c.id, _PAYMENT.c.order_id, _PAYMENT.c.request_id)
    .where(_PAYMENT.c.fulfil_at <= sa.bindparam("now"))
    .order_by(_PAYMENT.c.fulfil_at, _PAYMENT.c.id)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_TAKE = Prepared(
    sa.update(_PAYMENT).where(among_given(_PAYMENT.c.id, "ids")).values(fulfil_at=None)
)
_ON_SALE = Prepared(
    sa.select(_PRODUCT.c.id)
    .where(among_given(_PRODUCT.c.id, "ids"), _PRODUCT.c.withdrawn_at.is_(None))
    .order_by(_PRODUCT.c.id)
    .with_for_update(read=True)
)


def fulfil_due(
    sessions: Sessions, *, budget_s: float = BUDGET_S, now: datetime | None = None
) -> int:
    """Fulfil paid orders whose delay is over, a batch to a transaction; return how many.

    No batch begins after `budget_s`: the next sweep goes on. Safe to repeat: an order is taken
    under its payment's row lock and leaves the list with it.
    """
    done, ends_at_s = 0, time.monotonic() + budget_s
    while True:
        batch = transact(sessions, lambda session: _fulfil_batch(session, now=now))
        done += batch
        if batch < BATCH or time.monotonic() > ends_at_s:
            return done


def _fulfil_batch(session: Session, *, now: datetime | None) -> int:
    now = now or clock.now(session)
    due = _DUE.run(session, now=now).rows
    if not due:
        return 0
    _TAKE.run(session, ids=[payment_id for payment_id, _, _ in due])
    _fulfil(session, {order_id: request_id for _, order_id, request_id in due}, at=now)
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
    wanted = {product_id for products in held.values() for product_id in products}
    on_sale = {row[0] for row in _ON_SALE.run(session, ids=sorted(wanted)).rows}
    return [order_id for order_id, products in held.items() if not on_sale.issuperset(products)]
