"""Due orders by the thousand, written as `POST /orders/` would have left them."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from infra.database.rows import insert_rows, table_of
from infra.db import Database
from shop import products
from shop.orders import Order, OrderLine
from shop.payments import Payment
from shop.products import Draft

PRICE, FEE = 5000, 1000


def seed_due(database: Database, count: int) -> None:
    """Write `count` pending orders of one line each, whose payments are due."""
    with database.sessions.begin() as session:
        draft = Draft(name="A thing", price_minor=PRICE, currency="USD")
        product_id = products.create(session, draft, quantity=10**9).product.id
        first = (session.scalar(sa.select(sa.func.max(Order.id))) or 0) + 1
        _insert(session, range(first, first + count), product_id)


def is_all_paid(database: Database) -> bool:
    """Tell whether no order waits for its payment any more; ask it as often as you like.

    The last one is looked for first: to count them every few milliseconds had the server read forty
    rows for each order that it was being measured with.
    """
    waiting = sa.select(Payment.id).where(Payment.due_at.is_not(None))
    last = waiting.order_by(Payment.due_at.desc(), Payment.id.desc()).limit(1)
    with database.reads() as session:
        return session.scalar(last) is None


def _insert(session: Session, ids: range, product_id: int) -> None:
    now = clock.now(session)
    stamps = {"created_at": now, "updated_at": now}
    orders = [
        {
            "id": order_id,
            "user_id": 1,
            "status": "pending",
            "currency": "USD",
            "subtotal_minor": PRICE,
            "fee_minor": FEE,
            "total_minor": PRICE + FEE,
            "refunded_minor": 0,
            "version": 1,
            "idempotency_key": f"bench:{order_id}",
            "request_hash": "",
            **stamps,
        }
        for order_id in ids
    ]
    lines = [
        {
            "order_id": order_id,
            "n": 1,
            "product_id": product_id,
            "name": "A thing",
            "quantity": 1,
            "unit_price_minor": PRICE,
            "unit_fee_minor": FEE,
        }
        for order_id in ids
    ]
    payments = [
        {
            "order_id": order_id,
            "user_id": 1,
            "gateway": "instant",
            "amount_minor": PRICE + FEE,
            "currency": "USD",
            "token": "tok_visa",
            "state": "due",
            "due_at": now,
            "tries": 0,
            "version": 0,
            **stamps,
        }
        for order_id in ids
    ]
    for model, rows in ((Order, orders), (OrderLine, lines), (Payment, payments)):
        insert_rows(session, table_of(model), rows)
