"""Write what the gateway said: attempt, payment, order, ledger and events in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.database.prepared import Prepared
from infra.database.rows import among_given, chosen_given, table_of
from infra.db import Row
from infra.logs import log
from infra.outbox import Change
from shop import doubts, gateway_calls, late_charges, ledger, orders, payments, stock
from shop.claims import Answered, Claim
from shop.gateways.protocol import Declined, Missing, NotSent, Succeeded, Unknown
from shop.ledger import Movement
from shop.orders import Order, OrderStatus
from shop.payments import REASON_LENGTH, Attempt, AttemptState, Payment, PaymentState
from shop.stock import Handover

A = TypeVar("A")
_READ_OF_ORDERS = ("subtotal_minor", "fee_minor", "refunded_minor", "version", "created_at")

_PAYMENT, _ATTEMPT, _ORDER = table_of(Payment), table_of(Attempt), table_of(Order)
# Payments that are still ours; of their orders what a claim does not know.
_OURS = Prepared(
    sa.select(_PAYMENT.c.id.label("payment_id"), *(_ORDER.c[name] for name in _READ_OF_ORDERS))
    .join_from(_PAYMENT, _ORDER, _ORDER.c.id == _PAYMENT.c.order_id)
    .where(among_given(_PAYMENT.c.id, "ids"), _PAYMENT.c.lease_token == sa.bindparam("held_by"))
    .with_for_update()
)
_CHARGED = Prepared(
    sa.update(_ATTEMPT)
    # Found by a key that does not change with the state, or each row would be looked up twice;
    # and by all of it, or the row behind each would be read and locked too.
    .where(
        among_given(_ATTEMPT.c.order_id, "orders"),
        among_given(_ATTEMPT.c.n, "ns"),
        _ATTEMPT.c.live_order.is_not(None),
    )
    .values(
        state=AttemptState.SUCCEEDED,
        charge_id=chosen_given(_ATTEMPT.c.order_id, "charges"),
        reason=None,
        updated_at=sa.bindparam("at"),
    )
)
_PAID = Prepared(
    sa.update(_PAYMENT)
    .where(among_given(_PAYMENT.c.id, "ids"))
    .values(
        state=PaymentState.SETTLED,
        due_at=None,
        lease_token=None,
        lease_until=None,
        tries=0,
        fulfil_at=sa.bindparam("deliver_at"),
        version=_PAYMENT.c.version + 1,
        updated_at=sa.bindparam("at"),
    )
)


def settle(
    session: Session,
    answered: Answered,
    *,
    token: str,
    handover: Handover,
    now: datetime | None = None,
) -> int:
    """Write a group of answers; return how many payments are settled for good.

    Safe to repeat: a payment whose lease is no longer ours is left as it is.
    """
    now = now or clock.now(session)
    asked = _OURS.read(session, ids=[claim.payment_id for claim, _ in answered], held_by=token)
    ours = {row["payment_id"]: row for row in asked}
    answered = [(claim, answer) for claim, answer in answered if claim.payment_id in ours]
    asked_by = _requests_behind(answered)
    gateway_calls.record(session, [(claim.order_id, claim.log) for claim, _ in answered], at=now)
    doubts.put_back(session, [claim for claim, _ in _only(NotSent, answered)], at=now)
    late = [it for it in answered if it[0].ended and not isinstance(it[1], NotSent)]
    standing = [it for it in answered if not it[0].ended]
    paid = _only(Succeeded, standing)
    declined = [(claim, answer.reason) for claim, answer in _only(Declined, standing)]
    changes = [
        *_pay(session, paid, ours, fulfil_at=now + handover.delay, at=now),
        *_fail(session, declined, state=AttemptState.DECLINED, at=now),
        *doubts.keep(session, _only(Unknown, standing), at=now),
        *_miss(session, [claim for claim, _ in _only(Missing, standing)], at=now),
        *late_charges.settle(
            session,
            [(claim.payment, claim.request.key, answer) for claim, answer in late],
            handover=handover,
            at=now,
        ),
    ]
    outbox.record(session, changes, asked_by=asked_by)
    return len(paid) + len(declined)


def give_up(session: Session, claim: Claim, reason: str, *, at: datetime) -> None:
    """Write that a charge was never made: its order ends, and what it held can be sold again."""
    gone = _fail(session, [(claim, reason)], state=AttemptState.FAILED, at=at)
    outbox.record(session, gone)


def _only(kind: type[A], answered: Answered) -> list[tuple[Claim, A]]:
    return [(claim, answer) for claim, answer in answered if isinstance(answer, kind)]


def _requests_behind(answered: Answered) -> dict[str, str | None]:
    """Name the request that each order and payment goes back to, and tell them in the log."""
    asked_by: dict[str, str | None] = {}
    for claim, _ in answered:
        request_id = claim.payment["request_id"]
        if request_id is not None:
            asked_by[f"orders/{claim.order_id}"] = request_id
            asked_by[f"payments/{claim.payment_id}"] = request_id
    if asked_by:
        log.info("payments_answered", requests=sorted(set(asked_by.values()), key=str))
    return asked_by


def _pay(
    session: Session,
    paid: Sequence[tuple[Claim, Succeeded]],
    ours: Mapping[int, Row],
    *,
    fulfil_at: datetime,
    at: datetime,
) -> list[Change]:
    if not paid:
        return []
    order_ids = [claim.order_id for claim, _ in paid]
    payment_ids = [claim.payment_id for claim, _ in paid]
    charges = {claim.order_id: charge.id for claim, charge in paid}
    ns = {claim.n for claim, _ in paid}
    _CHARGED.run(session, orders=order_ids, ns=sorted(ns), charges=charges, at=at)
    _PAID.run(session, ids=payment_ids, deliver_at=fulfil_at, at=at)
    ledger.record(
        session,
        [
            Movement(
                txn=claim.request.key,
                order_id=claim.order_id,
                gateway=claim.payment["gateway"],
                amount_minor=claim.request.amount_minor,
                currency=claim.request.currency,
            )
            for claim, _ in paid
        ],
        at=at,
    )
    orders.set_status(session, order_ids, status=OrderStatus.PAID, at=at)
    lines = orders.lines_of(session, order_ids)
    return [
        *(_paid(claim, ours[claim.payment_id], lines[claim.order_id], at) for claim, _ in paid),
        *(_succeeded(claim, charge, at) for claim, charge in paid),
    ]


def _paid(claim: Claim, order: Row, lines: Sequence[Row], at: datetime) -> Change:
    """Tell of an order as it has just been written, from its row before that."""
    written = {
        **order,
        "id": claim.order_id,
        "user_id": claim.payment["user_id"],
        "status": OrderStatus.PAID,
        "currency": claim.payment["currency"],
        "total_minor": claim.payment["amount_minor"],
        "version": order["version"] + 1,
        "updated_at": at,
    }
    return orders.changed("order.paid", written, lines)


def _succeeded(claim: Claim, charge: Succeeded, at: datetime) -> Change:
    """Tell of a payment as it has just been written; nobody else could change it meanwhile."""
    written = {
        **claim.payment,
        "state": PaymentState.SETTLED,
        "version": claim.payment["version"] + 1,
        "updated_at": at,
    }
    attempt = {"state": AttemptState.SUCCEEDED, "charge_id": charge.id}
    return payments.changed("payment.succeeded", written, attempt)


def _fail(
    session: Session, failed: Sequence[tuple[Claim, str]], *, state: AttemptState, at: datetime
) -> list[Change]:
    """End orders whose money will not come: the stock they hold can be sold again."""
    if not failed:
        return []
    order_ids = [claim.order_id for claim, _ in failed]
    payment_ids = [claim.payment_id for claim, _ in failed]
    for reason, of_reason in groupby(sorted(failed, key=itemgetter(1)), key=itemgetter(1)):
        alike = [claim.order_id for claim, _ in of_reason]
        told = reason[:REASON_LENGTH]
        payments.mark_attempts(session, alike, at=at, state=state, reason=told)
    payments.close(session, payment_ids, at=at, state=PaymentState.SETTLED)
    stock.release(session, order_ids=order_ids)
    return [
        *orders.advance(session, order_ids, status=OrderStatus.PAYMENT_FAILED, at=at),
        *payments.changes(session, payment_ids, kind=f"payment.{state}"),
    ]


def _miss(session: Session, missing: Sequence[Claim], *, at: datetime) -> list[Change]:
    """Believe that there is no charge only when the gateway has said so twice, an hour apart."""
    believed = at - doubts.MISSING_TWICE_APART
    gone = [(it, doubts.MISSING) for it in missing if (it.missing_since or at) <= believed]
    doubted = [it for it in missing if (it.missing_since or at) > believed]
    return [
        *doubts.note_missing(session, doubted, at=at),
        *_fail(session, gone, state=AttemptState.FAILED, at=at),
    ]
