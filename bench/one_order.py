"""What every peer does for one order: the same rows and events that our settlement writes.

In one transaction, by the same driver, with plain statements on the tables and nothing read twice.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from os import environ

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.database.rows import table_of
from infra.db import Database, Row, open_database
from shop import ledger, orders, payments
from shop.gateways.protocol import ChargeRequest
from shop.ledger import Movement
from shop.orders import Order, OrderStatus
from shop.payments import Attempt, AttemptState, Payment, PaymentState

Charge = Callable[[ChargeRequest], str]
ORDER, PAYMENT, ATTEMPT = table_of(Order), table_of(Payment), table_of(Attempt)


@cache
def database() -> Database:
    """Open this process's database; forget it after a fork."""
    return open_database(environ["DATABASE_URL"])


def at_once(request: ChargeRequest) -> str:
    """Charge at the gateway that answers without delay; return the charge's id."""
    return f"ch_{request.key}"


def pay(order_id: int, *, charge: Charge = at_once) -> None:
    """Charge one order and write what became of it."""
    with database().sessions.begin() as session:
        payment, order = _read(session, order_id)
        request = ChargeRequest(
            key=f"{order_id}:1",
            reference=str(order_id),
            amount_minor=order["total_minor"],
            currency=order["currency"],
            token=payment["token"],
        )
        _write(session, payment, order, request, charge(request))


def _read(session: Session, order_id: int) -> tuple[Row, Row]:
    paying = sa.select(PAYMENT).where(PAYMENT.c.order_id == order_id).with_for_update()
    return (
        session.execute(paying).mappings().one(),
        session.execute(sa.select(ORDER).where(ORDER.c.id == order_id)).mappings().one(),
    )


def _write(
    session: Session, payment: Row, order: Row, request: ChargeRequest, charge_id: str
) -> None:
    now, order_id = clock.now(session), order["id"]
    _write_attempt(session, payment, request, charge_id, now)
    paid = {"status": OrderStatus.PAID, "version": order["version"] + 1, "updated_at": now}
    session.execute(sa.update(ORDER).where(ORDER.c.id == order_id).values(paid))
    settled = {
        "state": PaymentState.SETTLED,
        "due_at": None,
        "fulfil_at": now + timedelta(0),
        "version": payment["version"] + 1,
        "updated_at": now,
    }
    session.execute(sa.update(PAYMENT).where(PAYMENT.c.id == payment["id"]).values(settled))
    movement = Movement(
        request.key, order_id, payment["gateway"], request.amount_minor, request.currency
    )
    ledger.record(session, [movement], at=now)
    lines = orders.lines_of(session, [order_id])[order_id]
    attempt = {"state": AttemptState.SUCCEEDED, "charge_id": charge_id}
    outbox.record(
        session,
        [
            orders.changed("order.paid", {**order, **paid}, lines),
            payments.changed("payment.succeeded", {**payment, **settled}, attempt),
        ],
    )


def _write_attempt(
    session: Session, payment: Row, request: ChargeRequest, charge_id: str, now: datetime
) -> None:
    session.execute(
        sa.insert(ATTEMPT).values(
            order_id=payment["order_id"],
            n=1,
            gateway=payment["gateway"],
            key=request.key,
            request=orjson.dumps(request.as_document()).decode(),
            state=AttemptState.SUCCEEDED,
            charge_id=charge_id,
            first_sent_at=now,
            created_at=now,
            updated_at=now,
        )
    )
