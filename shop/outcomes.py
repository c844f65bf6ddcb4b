"""Write what the gateway said: attempt, payment, order, ledger and events in one transaction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.database.rows import among, chosen, table_of
from infra.db import Row
from infra.logs import log
from infra.outbox import Change
from shop import gateway_calls, late_charges, ledger, orders, payments, stock
from shop.gateway_calls import CallLog
from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Declined,
    Missing,
    NotSent,
    Succeeded,
    Unknown,
)
from shop.ledger import Movement
from shop.orders import Order, OrderStatus
from shop.payments import REASON_LENGTH, Attempt, AttemptState, Payment, PaymentState

SEND_AGAIN_AFTER = timedelta(seconds=3)
# When an unknown outcome is asked for again, counted from the first send; then every 12 hours.
CHECKS = (
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
)
LATE_CHECK = timedelta(hours=12)
MISSING_TWICE_APART = timedelta(hours=1)
HUMAN_AFTER = timedelta(hours=72)
_MISSING = "the gateway knows no such charge"
_READ_OF_ORDERS = ("subtotal_minor", "fee_minor", "refunded_minor", "version", "created_at")


@dataclass(frozen=True, slots=True)
class Claim:
    """A payment that is ours until the lease ends, with the request to send for it.

    No call begins after `send_by_s`, by this process's monotonic clock: the lease could end first.
    `ended` means that the order has ended unpaid: a charge that was given up is only looked for.
    """

    payment: Row
    request: ChargeRequest
    first_sent_at: datetime
    sent_before: bool = False
    may_send: bool = True
    missing_since: datetime | None = None
    charge_id: str | None = None
    ended: bool = False
    send_by_s: float = math.inf
    log: CallLog = field(default_factory=CallLog, compare=False)

    @property
    def payment_id(self) -> int:
        """The payment's id."""
        return int(self.payment["id"])

    @property
    def order_id(self) -> int:
        """The id of the order that the payment is for."""
        return int(self.payment["order_id"])


Answered = Sequence[tuple[Claim, Answer | Missing]]


def settle(
    session: Session,
    answered: Answered,
    *,
    token: str,
    fulfilment_delay: timedelta,
    now: datetime | None = None,
) -> int:
    """Write a group of answers; return how many payments are settled for good.

    Safe to repeat: a payment whose lease is no longer ours is left as it is.
    """
    now = now or clock.now(session)
    ours = _lock_ours(session, answered, token)
    answered = [(claim, answer) for claim, answer in answered if claim.payment_id in ours]
    asked_by = _requests_behind(answered)
    gateway_calls.record(session, [(claim.order_id, claim.log) for claim, _ in answered], at=now)
    _put_back(session, [claim for claim, answer in answered if isinstance(answer, NotSent)], at=now)
    late = [it for it in answered if it[0].ended and not isinstance(it[1], NotSent)]
    answered = [it for it in answered if not it[0].ended]
    paid = [(claim, answer) for claim, answer in answered if isinstance(answer, Succeeded)]
    declined = [
        (claim, answer.reason) for claim, answer in answered if isinstance(answer, Declined)
    ]
    doubtful = [(claim, answer) for claim, answer in answered if isinstance(answer, Unknown)]
    missing = [claim for claim, answer in answered if isinstance(answer, Missing)]
    changes = [
        *_pay(session, paid, ours, fulfil_at=now + fulfilment_delay, at=now),
        *_fail(session, declined, state=AttemptState.DECLINED, at=now),
        *_doubt(session, doubtful, at=now),
        *_miss(session, missing, at=now),
        *late_charges.settle(
            session,
            [(claim.payment, claim.request.key, answer) for claim, answer in late],
            fulfil_at=now + fulfilment_delay,
            at=now,
        ),
    ]
    outbox.record(session, changes, asked_by=asked_by)
    return len(paid) + len(declined)


def give_up(session: Session, claim: Claim, reason: str, *, at: datetime) -> None:
    """Write that a charge was never made: its order ends, and what it held can be sold again."""
    gone = _fail(session, [(claim, reason)], state=AttemptState.FAILED, at=at)
    outbox.record(session, gone)


def hold_for_human(session: Session, payment_ids: Sequence[int], *, at: datetime) -> list[Change]:
    """Stop working on payments that no run can bring to an end; their attempts stay live."""
    log.error("payments_need_human", payments=list(payment_ids))
    owing = sa.select(Payment.order_id).where(Payment.id.in_(payment_ids))
    waiting = sa.select(Order.id).where(Order.id.in_(owing), Order.status == OrderStatus.PENDING)
    doubtful = session.scalars(waiting.order_by(Order.id)).all()
    session.execute(
        sa.update(Attempt)
        .where(Attempt.live_order.in_(owing))
        .values(state=AttemptState.NEEDS_HUMAN, updated_at=at)
        .execution_options(synchronize_session=False)
    )
    _close(session, payment_ids, at=at)
    return [
        *orders.advance(session, doubtful, status=OrderStatus.PAYMENT_UNKNOWN, at=at),
        *payments.changes(session, payment_ids, kind="payment.needs_human"),
    ]


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


def _lock_ours(session: Session, answered: Answered, token: str) -> dict[int, Row]:
    """Lock the payments that are still ours; read of their orders what a claim does not know."""
    payment, order = table_of(Payment).c, table_of(Order).c
    mine = (
        sa.select(payment.id.label("payment_id"), *(order[name] for name in _READ_OF_ORDERS))
        .join(Order.__table__, order.id == payment.order_id)
        .where(
            among(payment.id, [claim.payment_id for claim, _ in answered]),
            payment.lease_token == token,
        )
    )
    return {row["payment_id"]: row for row in session.execute(mine.with_for_update()).mappings()}


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
    _write_charges(session, {claim.order_id: charge.id for claim, charge in paid}, at=at)
    _close(session, payment_ids, at=at, state=PaymentState.SETTLED, fulfil_at=fulfil_at)
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
    for claim, reason in failed:
        _mark(session, claim, state=state, reason=reason[:REASON_LENGTH], at=at)
    _close(session, payment_ids, at=at, state=PaymentState.SETTLED)
    stock.release(session, order_ids=order_ids)
    return [
        *orders.advance(session, order_ids, status=OrderStatus.PAYMENT_FAILED, at=at),
        *payments.changes(session, payment_ids, kind=f"payment.{state}"),
    ]


def _doubt(
    session: Session, doubtful: Sequence[tuple[Claim, Unknown]], *, at: datetime
) -> list[Change]:
    """Keep the stock held and look again later; past the last check a person must decide."""
    changes: list[Change] = []
    for claim, doubt in doubtful:
        if at - claim.first_sent_at >= HUMAN_AFTER:
            changes += hold_for_human(session, [claim.payment_id], at=at)
            continue
        _wait(session, claim, until=next_check(claim.first_sent_at, at))
        changes += _become_unknown(session, claim, doubt, at=at)
    return changes


def _miss(session: Session, missing: Sequence[Claim], *, at: datetime) -> list[Change]:
    """Believe that there is no charge only when the gateway has said so twice, an hour apart."""
    gone, doubted = [], []
    for claim in missing:
        since = claim.missing_since or at
        if at - since >= MISSING_TWICE_APART:
            gone.append((claim, _MISSING))
            continue
        _mark(session, claim, missing_since=since, at=at)
        _wait(session, claim, until=since + MISSING_TWICE_APART)
        doubted += _become_unknown(session, claim, Unknown(_MISSING), at=at)
    return [*doubted, *_fail(session, gone, state=AttemptState.FAILED, at=at)]


def _put_back(session: Session, unsent: Sequence[Claim], *, at: datetime) -> None:
    for claim in unsent:
        if not claim.sent_before:
            _mark(session, claim, state=AttemptState.CREATED, first_sent_at=None, at=at)
        _wait(session, claim, until=at + SEND_AGAIN_AFTER)
    if unsent:
        log.warning("charges_not_sent", count=len(unsent))


def next_check(
    first_sent_at: datetime, at: datetime, *, checks: Sequence[timedelta] = CHECKS
) -> datetime:
    """Tell when an unknown charge or refund is asked for next."""
    for check in checks:
        if first_sent_at + check > at:
            return first_sent_at + check
    return at + LATE_CHECK


def _become_unknown(
    session: Session, claim: Claim, doubt: Unknown, *, at: datetime
) -> list[Change]:
    """Tell of a doubt when it begins, and of the charge's id when it becomes known."""
    status = session.scalar(sa.select(Order.status).where(Order.id == claim.order_id))
    begins = status == OrderStatus.PENDING
    news = {"charge_id": doubt.charge_id} if doubt.charge_id and not claim.charge_id else {}
    if not begins and not news:
        log.info("charge_still_unknown", order=claim.order_id, reason=doubt.reason)
        return []
    reason = doubt.reason[:REASON_LENGTH]
    _mark(session, claim, state=AttemptState.UNKNOWN, reason=reason, at=at, **news)
    _touch(session, claim.payment_id, at=at)
    began = [claim.order_id] if begins else []
    return [
        *orders.advance(session, began, status=OrderStatus.PAYMENT_UNKNOWN, at=at),
        *payments.changes(session, [claim.payment_id], kind="payment.unknown"),
    ]


def _write_charges(session: Session, charge_ids: dict[int, str], *, at: datetime) -> None:
    table = table_of(Attempt)
    session.execute(
        sa.update(table)
        # Found by a key that does not change with the state, or each row would be looked up twice.
        .where(among(table.c.order_id, charge_ids), table.c.live_order.is_not(None))
        .values(
            state=AttemptState.SUCCEEDED,
            charge_id=chosen(table.c.order_id, charge_ids),
            reason=None,
            updated_at=at,
        )
    )


def _mark(session: Session, claim: Claim, *, at: datetime, **values: object) -> None:
    session.execute(
        sa.update(Attempt)
        .where(Attempt.live_order == claim.order_id)
        .values(updated_at=at, **values)
        .execution_options(synchronize_session=False)
    )


def _close(session: Session, payment_ids: Sequence[int], *, at: datetime, **values: object) -> None:
    table = table_of(Payment)
    session.execute(
        sa.update(table)
        .where(among(table.c.id, payment_ids))
        .values(
            due_at=None,
            lease_token=None,
            lease_until=None,
            tries=0,
            version=table.c.version + 1,
            updated_at=at,
            **values,
        )
    )


def _touch(session: Session, payment_id: int, *, at: datetime) -> None:
    session.execute(
        sa.update(Payment)
        .where(Payment.id == payment_id)
        .values(version=Payment.version + 1, updated_at=at)
        .execution_options(synchronize_session=False)
    )


def _wait(session: Session, claim: Claim, *, until: datetime) -> None:
    """Give the payment back until then; at once if a webhook came while it was ours."""
    told = Payment.due_at > claim.payment["due_at"]
    session.execute(
        sa.update(Payment)
        .where(Payment.id == claim.payment_id)
        .values(
            due_at=sa.case((told, Payment.due_at), else_=until),
            lease_token=None,
            lease_until=None,
            tries=0,
        )
        .execution_options(synchronize_session=False)
    )
