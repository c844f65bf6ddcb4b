"""Charges found after their order had ended unpaid: sell again if there is stock, else give back.

A charge that was believed never to have been made can turn up: a webhook tells of it, or the
gateway's search has caught up. Its payment is then due once more, and the gateway is only asked.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Row
from infra.logs import log
from infra.outbox import Change
from shop import ledger, orders, payments, refunds, stock
from shop.gateways.protocol import Succeeded, Unknown
from shop.ledger import Movement
from shop.orders import Order, OrderStatus
from shop.payments import Attempt, AttemptState, Payment, PaymentState
from shop.stock import Handover

_ENDED_UNPAID = (OrderStatus.EXPIRED, OrderStatus.CANCELLED, OrderStatus.PAYMENT_FAILED)
# How long a look without a clear answer is followed by another; then only the gateway can tell us.
_ASK_AGAIN_AFTER = (
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
)


def find_doubtful(session: Session, due: Sequence[Row]) -> dict[int, Row]:
    """Find, by order, the charges given up that a due payment of an ended order is to look for."""
    ended = set(
        session.scalars(
            sa.select(Order.id).where(
                Order.id.in_([row["order_id"] for row in due]), Order.status.in_(_ENDED_UNPAID)
            )
        )
    )
    newest = payments.newest_attempts(session, sorted(ended))
    return {
        order_id: attempt
        for order_id, attempt in newest.items()
        if attempt["state"] == AttemptState.FAILED
    }


def settle(
    session: Session,
    answered: Iterable[tuple[Row, str, object]],
    *,
    handover: Handover,
    at: datetime,
) -> list[Change]:
    """Write what was found: of each the payment, its charge's key and the gateway's answer."""
    changes: list[Change] = []
    for payment, key, answer in answered:
        if isinstance(answer, Succeeded):
            changes += _sell_again(session, payment, key, answer.id, handover=handover, at=at)
        elif isinstance(answer, Unknown) and payment["tries"] < len(_ASK_AGAIN_AFTER):
            _end_look(session, payment, due_at=at + _ASK_AGAIN_AFTER[payment["tries"]])
        else:
            log.warning("late_charge_not_found", order=payment["order_id"], answer=str(answer))
            _end_look(session, payment, due_at=None, tries=0)
    return changes


def _end_look(session: Session, payment: Row, *, due_at: datetime | None, **values: object) -> None:
    """Give the payment back until then; at once if a webhook came while it was ours."""
    told = Payment.due_at > payment["due_at"]
    session.execute(
        sa.update(Payment)
        .where(Payment.id == payment["id"])
        .values(
            due_at=sa.case((told, Payment.due_at), else_=due_at),
            lease_token=None,
            lease_until=None,
            **values,
        )
        .execution_options(synchronize_session=False)
    )


def _sell_again(
    session: Session, payment: Row, key: str, charge_id: str, *, handover: Handover, at: datetime
) -> list[Change]:
    order_id = payment["order_id"]
    log.warning("late_charge_found", order=order_id, key=key)
    session.execute(
        sa.update(Attempt)
        .where(Attempt.order_id == order_id, Attempt.key == key)
        .values(state=AttemptState.SUCCEEDED, charge_id=charge_id, reason=None, updated_at=at)
        .execution_options(synchronize_session=False)
    )
    amount, currency = payment["amount_minor"], payment["currency"]
    movement = Movement(key, order_id, payment["gateway"], amount, currency)
    ledger.record(session, [movement], at=at)
    held = stock.hold_again(session, order_id=order_id, low_at=handover.low_stock)
    payments.close(
        session,
        [payment["id"]],
        at=at,
        state=PaymentState.SETTLED,
        fulfil_at=at + handover.delay if held else None,
    )
    if not held:
        refunds.begin(session, [order_id], reason="paid after its stock was gone", at=at)
    status = OrderStatus.PAID if held else OrderStatus.REFUNDING
    return [
        *orders.advance(session, [order_id], status=status, at=at),
        *payments.changes(session, [payment["id"]], kind="payment.succeeded"),
    ]
