"""A bare loop: one process, batches of 500, plain SQL, no queue, no lease, no claim of its own.

What somebody would write who wants nothing but these rows, soon. It never asks a gateway, and a
crash between charge and commit would charge twice: this is a speed to compare with, not a way.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.engine import Connection

from infra.db import Database

_BATCH = 500
_DUE = (
    "SELECT p.id, p.order_id, p.user_id, p.gateway, p.amount_minor, p.currency, p.token, p.version,"
    " p.created_at, o.subtotal_minor, o.fee_minor, o.refunded_minor, o.version, o.created_at"
    " FROM payment p JOIN orders o ON o.id = p.order_id"
    " WHERE p.due_at <= UTC_TIMESTAMP(6) ORDER BY p.due_at, p.id LIMIT %s FOR UPDATE SKIP LOCKED"
)
_LINES = (
    "SELECT order_id, product_id, name, quantity, unit_price_minor, unit_fee_minor"
    " FROM order_line WHERE order_id IN %s ORDER BY order_id, n"
)
_ATTEMPTS = (
    "INSERT INTO attempt (order_id, n, gateway, `key`, request, state, charge_id, first_sent_at,"
    " created_at, updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_LEDGER = (
    "INSERT INTO ledger (txn, account, order_id, amount_minor, currency, created_at)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
_EVENTS = (
    "INSERT INTO event (topic, subject, version, type, time, data) VALUES (%s, %s, %s, %s, %s, %s)"
)
_PAID = "UPDATE orders SET status = 'paid', version = version + 1, updated_at = %s WHERE id IN %s"
_SETTLED = (
    "UPDATE payment SET state = 'settled', due_at = NULL, fulfil_at = %s, version = version + 1,"
    " updated_at = %s WHERE id IN %s"
)


def settle_all(database: Database) -> None:
    """Settle everything that is due."""
    with database.engine.connect() as connection:
        while _settle_batch(connection):
            connection.commit()


def _settle_batch(connection: Connection) -> int:
    due = connection.exec_driver_sql(_DUE, (_BATCH,)).all()
    if not due:
        return 0
    now = connection.exec_driver_sql("SELECT UTC_TIMESTAMP(6)").scalar_one()
    order_ids = [row[1] for row in due]
    lines: dict[int, list[Any]] = {}
    for line in connection.exec_driver_sql(_LINES, (order_ids,)):
        lines.setdefault(line[0], []).append(line)
    connection.exec_driver_sql(_ATTEMPTS, [_attempt(row, now) for row in due])
    connection.exec_driver_sql(_PAID, (now, order_ids))
    connection.exec_driver_sql(_SETTLED, (now, now, [row[0] for row in due]))
    connection.exec_driver_sql(_LEDGER, [side for row in due for side in _sides(row, now)])
    orders = [_order_event(row, lines[row[1]], now) for row in due]
    connection.exec_driver_sql(_EVENTS, [*orders, *(_payment_event(row, now) for row in due)])
    return len(due)


def _attempt(row: Sequence[Any], now: datetime) -> tuple[Any, ...]:
    _, order_id, _, gateway, amount, currency, token, *_ = row
    key = f"{order_id}:1"
    request = {
        "key": key,
        "reference": str(order_id),
        "amount_minor": amount,
        "currency": currency,
        "token": token,
    }
    text = orjson.dumps(request).decode()
    return (order_id, 1, gateway, key, text, "succeeded", f"ch_{key}", now, now, now)


def _sides(row: Sequence[Any], now: datetime) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    _, order_id, _, gateway, amount, currency, *_ = row
    key = f"{order_id}:1"
    return (
        (key, f"gateway:{gateway}", order_id, amount, currency, now),
        (key, "sales", order_id, -amount, currency, now),
    )


def _order_event(row: Sequence[Any], lines: list[Any], now: datetime) -> tuple[Any, ...]:
    order_id, user_id, amount, currency = row[1], row[2], row[4], row[5]
    subtotal, fee, refunded, version, created_at = row[9:14]
    shown = {
        "id": order_id,
        "user_id": user_id,
        "status": "paid",
        "currency": currency,
        "subtotal": subtotal / 100,
        "fee": fee / 100,
        "total": amount / 100,
        "refunded": refunded / 100,
        "items": [
            {
                "product_id": product_id,
                "name": name,
                "quantity": quantity,
                "unit_price": price / 100,
                "unit_fee": unit_fee / 100,
                "line_total": quantity * (price + unit_fee) / 100,
            }
            for _, product_id, name, quantity, price, unit_fee in lines
        ],
        "version": version + 1,
        "created_at": created_at,
        "updated_at": now,
    }
    return _event("orders", f"orders/{order_id}", version + 1, "order.paid", now, shown)


def _payment_event(row: Sequence[Any], now: datetime) -> tuple[Any, ...]:
    payment_id, order_id, user_id, gateway, amount, currency, _, version, created_at, *_ = row
    shown = {
        "id": payment_id,
        "order_id": order_id,
        "user_id": user_id,
        "gateway": gateway,
        "status": "settled",
        "outcome": "succeeded",
        "amount": amount / 100,
        "currency": currency,
        "charge_id": f"ch_{order_id}:1",
        "reason": None,
        "version": version + 1,
        "created_at": created_at,
        "updated_at": now,
    }
    subject = f"payments/{payment_id}"
    return _event("payments", subject, version + 1, "payment.succeeded", now, shown)


def _event(
    topic: str, subject: str, version: int, kind: str, now: datetime, shown: dict[str, Any]
) -> tuple[Any, ...]:
    # The driver gives instants without a zone; they are UTC.
    text = orjson.dumps(shown, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z).decode()
    return (topic, subject, version, kind, now, text)
