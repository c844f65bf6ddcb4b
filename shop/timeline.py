"""What happened to an order, in the order it happened: request, attempts, calls, refunds, events.

All of it is read from the database, so it is there however many processes died on the way.
"""

from collections.abc import Iterator
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Row
from infra.outbox import Event
from shop import held, money, orders, refunds
from shop.events import ORDERS, PAYMENTS
from shop.gateway_calls import GatewayCall, Operation
from shop.orders import Order
from shop.payments import Attempt, AttemptState, Payment
from shop.refunds import Refund

_MOST_ROWS = 1000
# What says of a call that the money moved: the gateway's answer, or a person who has seen it there.
_MADE = ("succeeded", "found")
_OWN_KEY = "auto:"


def get(session: Session, order_id: int, *, user_id: int | None) -> dict[str, Any]:
    """Read the timeline of an order; with a `user_id`, only if it is that person's.

    Raises:
        OrderNotFound: it does not exist, or is another's.
    """
    order = orders.get(session, order_id, user_id=user_id)
    attempts = _rows(session, Attempt, Attempt.order_id == order_id)
    made = session.scalars(sa.select(Refund).where(Refund.order_id == order_id).order_by(Refund.id))
    given_back = made.all()
    payment_id = session.scalar(sa.select(Payment.id).where(Payment.order_id == order_id))
    subjects = [f"payments/{payment_id}", *(f"refunds/{refund.id}" for refund in given_back)]
    recorded = list(_recorded_calls(session, order_id, is_buyer=user_id is not None))
    calls = [*recorded, *_first_sends(attempts, _answered(recorded))]
    return {
        "order_id": order_id,
        "payment_id": payment_id,
        "status": order["status"],
        "reason": attempts[-1]["reason"] if attempts else None,
        "held": [it.public() for it in held.list_all(session, order_id=order_id)],
        "request": _request(session, order_id),
        "attempts": [_attempt(row) for row in attempts],
        "refunds": [{**refunds.shown(it), "key": it.key} for it in given_back],
        "gateway_calls": sorted(calls, key=lambda call: call["started_at"]),
        "events": list(_events(session, order_id, subjects)),
    }


def _request(session: Session, order_id: int) -> dict[str, Any]:
    """Show the request as it was accepted, from the event of that moment where it is still kept."""
    row = session.execute(
        sa.select(Order.idempotency_key, Order.created_at, Order.user_id).where(
            Order.id == order_id
        )
    ).one()
    key = row.idempotency_key
    first = session.scalar(
        sa.select(Event.data).where(
            Event.topic == ORDERS, Event.subject == f"orders/{order_id}", Event.version == 1
        )
    )
    placed = orjson.loads(first) if first else {}
    return {
        "accepted_at": row.created_at,
        "user_id": row.user_id,
        "idempotency_key": None if key.startswith(_OWN_KEY) else key,
        "items": placed.get("items"),
        "total": placed.get("total"),
    }


def _attempt(row: Row) -> dict[str, Any]:
    request = orjson.loads(row["request"])
    return {
        "n": row["n"],
        "key": row["key"],
        "state": row["state"],
        "reason": row["reason"],
        "gateway": row["gateway"],
        "charge_id": row["charge_id"],
        "amount": money.to_number(request["amount_minor"]),
        "currency": request["currency"],
        "created_at": row["created_at"],
        "first_sent_at": row["first_sent_at"],
        "updated_at": row["updated_at"],
    }


def _recorded_calls(session: Session, order_id: int, *, is_buyer: bool) -> Iterator[dict[str, Any]]:
    for row in _rows(session, GatewayCall, GatewayCall.order_id == order_id):
        # Who decided, and on what grounds, stays in the house.
        is_ours = is_buyer and row["operation"] == Operation.BY_HAND
        yield {
            "operation": row["operation"],
            "key": row["key"],
            "outcome": row["outcome"],
            "reason": None if is_ours else row["reason"],
            "started_at": row["started_at"],
            "duration_ms": row["duration_ms"],
        }


def _answered(calls: list[dict[str, Any]]) -> set[str]:
    return {call["key"] for call in calls if call["outcome"] in _MADE}


def _first_sends(attempts: list[Row], told: set[str]) -> Iterator[dict[str, Any]]:
    """Tell of first sends that succeeded, which stand in their attempts and nowhere else.

    `told` are the keys whose success was written down as a call: they were asked for again.
    """
    for row in attempts:
        if row["state"] == AttemptState.SUCCEEDED and row["key"] not in told:
            took = row["updated_at"] - row["first_sent_at"]
            yield {
                "operation": Operation.CHARGE.value,
                "key": row["key"],
                "outcome": "succeeded",
                "reason": None,
                "started_at": row["first_sent_at"],
                "duration_ms": round(took.total_seconds() * 1000),
            }


def _events(
    session: Session, order_id: int, payment_subjects: list[str]
) -> Iterator[dict[str, Any]]:
    mine = sa.or_(
        sa.and_(Event.topic == ORDERS, Event.subject == f"orders/{order_id}"),
        sa.and_(Event.topic == PAYMENTS, Event.subject.in_(payment_subjects)),
    )
    for row in _rows(session, Event, mine):
        yield {
            "topic": row["topic"],
            "type": row["type"],
            "subject": row["subject"],
            "version": row["version"],
            "time": row["time"],
            "data": orjson.loads(row["data"]),
        }


def _rows(session: Session, table: Any, condition: sa.ColumnElement[bool]) -> list[Row]:  # noqa: ANN401 - any of our tables
    """Read the newest rows, oldest first: a gateway that was down for long leaves many calls."""
    newest = sa.select(table.__table__).where(condition).order_by(table.__table__.c.id.desc())
    return [*reversed(session.execute(newest.limit(_MOST_ROWS)).mappings().all())]
