"""The other side: plain Celery, a task for each order, with the same tables and effects."""

import os
from functools import cache

import orjson
import sqlalchemy as sa
from celery import Celery, signals
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.db import Database, Row, open_database
from infra.outbox import Change
from shop import ledger, orders
from shop.ledger import Movement
from shop.orders import Order
from shop.payments import Attempt, Payment

app = Celery("plain", broker=os.environ["BROKER_URL"])
app.conf.update(task_ignore_result=True, task_default_queue="plain")


@cache
def _database() -> Database:
    return open_database(os.environ["DATABASE_URL"])


@signals.worker_process_init.connect
def _start_child(**_kwargs: object) -> None:
    _database.cache_clear()


@app.task(name="plain.pay")
def pay(order_id: int) -> None:
    """Charge one order and write what became of it, in one transaction."""
    with _database().sessions.begin() as session:
        payment, order = _read(session, order_id)
        charge_id = f"ch_{order_id}:1"  # the gateway that answers at once
        _write(session, payment, order, charge_id)


def _read(session: Session, order_id: int) -> tuple[Row, Row]:
    order, payment = Order.__table__, Payment.__table__
    paying = sa.select(payment).where(payment.c.order_id == order_id).with_for_update()
    return (
        session.execute(paying).mappings().one(),
        session.execute(sa.select(order).where(order.c.id == order_id)).mappings().one(),
    )


def _write(session: Session, payment: Row, order: Row, charge_id: str) -> None:
    now, order_id = clock.now(session), order["id"]
    request = {"key": f"{order_id}:1", "amount_minor": order["total_minor"], "currency": "USD"}
    session.execute(
        sa.insert(Attempt.__table__).values(  # type: ignore[arg-type] # declared as FromClause
            order_id=order_id,
            n=1,
            gateway="instant",
            key=f"{order_id}:1",
            request=orjson.dumps(request).decode(),
            state="succeeded",
            charge_id=charge_id,
            first_sent_at=now,
            created_at=now,
            updated_at=now,
        )
    )
    session.execute(
        sa.update(Order)
        .where(Order.id == order_id)
        .values(status="paid", version=2, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        sa.update(Payment)
        .where(Payment.order_id == order_id)
        .values(state="settled", due_at=None, fulfil_at=now, version=1, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    ledger.record(
        session, [Movement(f"{order_id}:1", order_id, "instant", order["total_minor"], "USD")]
    )
    paid = {**order, "status": "paid", "version": 2, "updated_at": now}
    lines = orders.lines_of(session, [order_id])[order_id]
    settled = {"id": payment["id"], "order_id": order_id, "status": "settled", "updated_at": now}
    outbox.record(
        session,
        [
            orders.changed("order.paid", paid, lines),
            Change("payments", "payment.succeeded", f"payments/{payment['id']}", 1, settled),
        ],
    )
