"""Refunds: money given back under keys of their own; claim, act, settle, as for charges."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, failpoints, in_hand, outbox, trace
from infra.db import (
    Base,
    BigId,
    LongText,
    Row,
    Sessions,
    UtcDateTime,
    binary_string,
    transact,
)
from infra.in_hand import Thing
from infra.logs import log
from infra.outbox import Change
from infra.parallel import answer_groups
from shop import gateway_calls, ledger, money, orders, payments, returns
from shop.events import PAYMENTS
from shop.gateway_calls import CallLog, Operation
from shop.gateways.protocol import (
    Answer,
    Declined,
    Missing,
    NotSent,
    PaymentGateway,
    RefundRequest,
    Succeeded,
)
from shop.ledger import Movement
from shop.orders import Order
from shop.payloads import RefundData
from shop.payments import Attempt, AttemptState
from shop.returns import Returned

LEASE = timedelta(seconds=30)
DEADLINE_S = 20.0
BATCH = 50
# An unknown refund is looked for, and sent again if it is not found: its key makes it the same one.
AGAIN_AFTER = timedelta(seconds=5)


class RefundState(StrEnum):
    """What is known of one refund."""

    CREATED = "created"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Refund(Base):
    """One repayment of a charge, in full or in part.

    `restock` is what comes back with it, as JSON: quantities by product id.
    """

    __tablename__ = "refund"
    __table_args__ = (
        sa.UniqueConstraint("attempt_id", "n"),
        sa.Index(None, "due_at", "id"),
        sa.Index(None, "order_id", "idempotency_key", unique=True),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    attempt_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("attempt.id"))
    n: Mapped[int] = mapped_column(sa.Integer)
    order_id: Mapped[int] = mapped_column(BigId)
    user_id: Mapped[int] = mapped_column(BigId)
    gateway: Mapped[str] = mapped_column(binary_string(20))
    key: Mapped[str] = mapped_column(binary_string(64), unique=True)
    charge_id: Mapped[str] = mapped_column(binary_string(100))
    refund_id: Mapped[str | None] = mapped_column(binary_string(100))
    amount_minor: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.CHAR(3))
    reason: Mapped[str] = mapped_column(sa.String(200))
    requested_by: Mapped[int | None] = mapped_column(BigId)
    request_id: Mapped[str | None] = mapped_column(
        binary_string(trace.LENGTH), default=trace.request_id
    )
    idempotency_key: Mapped[str | None] = mapped_column(binary_string(255))
    request_hash: Mapped[str | None] = mapped_column(binary_string(64))
    restock: Mapped[str | None] = mapped_column(LongText)
    state: Mapped[str] = mapped_column(binary_string(16))
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_token: Mapped[str | None] = mapped_column(binary_string(36))
    version: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class Claim:
    """A refund that is ours until the lease ends."""

    refund_id: int
    order_id: int
    request: RefundRequest
    sent_before: bool
    request_id: str | None = None
    log: CallLog = field(default_factory=CallLog, compare=False)


@dataclass(frozen=True, slots=True)
class Wish:
    """A refund that somebody asked for; `request_hash` tells it from others under its key."""

    amount_minor: int
    reason: str
    requested_by: int | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    restock: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Captured:
    """A charge that succeeded, locked, with every refund of it."""

    attempt: Row
    order: Row
    refunds: Sequence[Refund]

    @property
    def left_minor(self) -> int:
        """What can still be given back: refunds that failed give nothing back."""
        alive = (it.amount_minor for it in self.refunds if it.state != RefundState.FAILED)
        return int(self.order["total_minor"]) - sum(alive)


def lock_captured(session: Session, order_ids: Sequence[int]) -> list[Captured]:
    """Lock the successful charges of orders whose payment rows are locked."""
    attempt, order = Attempt.__table__, Order.__table__
    charged = sa.select(attempt).where(
        attempt.c.live_order.in_(order_ids), attempt.c.state == AttemptState.SUCCEEDED
    )
    attempts = session.execute(charged.order_by(attempt.c.order_id).with_for_update()).mappings()
    found = attempts.all()
    of_order = sa.select(order).where(order.c.id.in_([row["order_id"] for row in found]))
    orders_by_id = {row["id"]: row for row in session.execute(of_order).mappings()}
    made: dict[int, list[Refund]] = {}
    for refund in session.scalars(
        sa.select(Refund)
        .where(Refund.order_id.in_(list(orders_by_id)))
        .order_by(Refund.n)
        .execution_options(populate_existing=True)
    ):
        made.setdefault(refund.order_id, []).append(refund)
    return [
        Captured(row, orders_by_id[row["order_id"]], made.get(row["order_id"], ())) for row in found
    ]


def begin(session: Session, order_ids: Sequence[int], *, reason: str, at: datetime) -> None:
    """Make what is left of each order's charge due for repayment, in the caller's transaction."""
    for captured in lock_captured(session, order_ids):
        if captured.left_minor:
            add(session, captured, Wish(captured.left_minor, reason), at=at)


def add(session: Session, captured: Captured, wish: Wish, *, at: datetime) -> Refund:
    """Write down one more refund of a charge, due now, under a key of its own."""
    n = 1 + max((refund.n for refund in captured.refunds), default=0)
    refund = Refund(
        attempt_id=captured.attempt["id"],
        n=n,
        order_id=captured.order["id"],
        user_id=captured.order["user_id"],
        gateway=captured.attempt["gateway"],
        key=f"refund:{captured.attempt['key']}:{n}",
        charge_id=captured.attempt["charge_id"],
        amount_minor=wish.amount_minor,
        currency=captured.order["currency"],
        reason=wish.reason,
        requested_by=wish.requested_by,
        idempotency_key=wish.idempotency_key,
        request_hash=wish.request_hash,
        restock=orjson.dumps(wish.restock, option=orjson.OPT_NON_STR_KEYS).decode()
        if wish.restock
        else None,
        state=RefundState.CREATED.value,
        due_at=at,
        version=0,
        created_at=at,
        updated_at=at,
    )
    session.add(refund)
    session.flush()
    return refund


def settle_due(sessions: Sessions, gateway: PaymentGateway, *, now: datetime | None = None) -> int:
    """Send refunds that are due and write what the gateway said; return how many succeeded.

    Safe to repeat: a refund has one holder at a time and one key for ever.
    """
    token, done = str(uuid.uuid4()), 0
    claims = transact(
        sessions, lambda session: _claim(session, token=token, gateway=gateway, now=now)
    )

    things = {claim.refund_id: _in_hand(claim) for claim in claims}
    in_hand.take_up(*things.values())

    def call(claim: Claim) -> Answer:
        return ask(gateway, claim)

    limit = gateway.max_in_flight
    for group in answer_groups(call, claims, limit=limit, deadline_s=DEADLINE_S):
        failpoints.reach("refunds.sent")
        done += transact(sessions, lambda session: _settle(session, group, token=token, now=now))  # noqa: B023 - runs before the next group comes
        for claim, answer in group:
            _put_down(things[claim.refund_id], answer)
    return done


def ask(gateway: PaymentGateway, claim: Claim) -> Answer:
    """Send a refund, or first look for it if it may have been sent before."""
    request = claim.request
    if claim.sent_before:
        found = claim.log.timed(
            Operation.FIND_REFUND, request.key, lambda: gateway.find_refund(request)
        )
        if not isinstance(found, Missing):
            return found
    return claim.log.timed(Operation.REFUND, request.key, lambda: gateway.refund(request))


def _in_hand(claim: Claim) -> Thing:
    told = {"refund_id": claim.refund_id, "order_id": claim.order_id}
    return Thing(told, key=f"refunds/{claim.refund_id}", request_id=claim.request_id)


def _put_down(thing: Thing, answer: Answer) -> None:
    """Say how it ended; without a clear answer it is taken up again in some seconds."""
    match answer:
        case Succeeded():
            thing.end()
        case Declined(reason=reason):
            thing.end(f"The gateway refused it: {reason}.")


def _claim(
    session: Session, *, token: str, gateway: PaymentGateway, now: datetime | None
) -> list[Claim]:
    """Take due refunds; being claimed makes one due again when the lease ends."""
    now = now or clock.now(session)
    due = session.scalars(
        sa.select(Refund)
        .where(Refund.due_at <= now, Refund.gateway == gateway.name)
        .order_by(Refund.due_at, Refund.id)
        .limit(min(BATCH, gateway.max_in_flight))
        .with_for_update(skip_locked=True)
    ).all()
    claims = [
        Claim(
            refund.id,
            refund.order_id,
            RefundRequest(refund.key, refund.charge_id, refund.amount_minor, refund.currency),
            sent_before=refund.state != RefundState.CREATED,
            request_id=refund.request_id,
        )
        for refund in due
    ]
    for refund in due:
        refund.lease_token, refund.due_at = token, now + LEASE
        refund.state, refund.updated_at = RefundState.SENDING, now
    return claims


def _settle(
    session: Session,
    answered: Sequence[tuple[Claim, Answer]],
    *,
    token: str,
    now: datetime | None,
) -> int:
    now = now or clock.now(session)
    answers = {claim.refund_id: (claim, answer) for claim, answer in answered}
    payments.lock(session, [claim.order_id for claim, _ in answered])
    ours = session.scalars(
        sa.select(Refund)
        .where(Refund.id.in_(list(answers)), Refund.lease_token == token)
        .order_by(Refund.id)
        .with_for_update()
    ).all()
    changes: list[Change] = []
    for refund in ours:
        changes += _write(session, refund, *answers[refund.id], at=now)
    session.flush()
    logs = [(refund.order_id, answers[refund.id][0].log) for refund in ours]
    gateway_calls.record(session, logs, at=now)
    returns.take_back(session, [_returned(it) for it in ours if it.state == RefundState.SUCCEEDED])
    outbox.record(session, changes)
    return sum(refund.state == RefundState.SUCCEEDED for refund in ours)


def _write(
    session: Session, refund: Refund, claim: Claim, answer: Answer, *, at: datetime
) -> list[Change]:
    refund.lease_token, refund.updated_at = None, at
    match answer:
        case Succeeded(id=refund_id):
            refund.state, refund.refund_id, refund.due_at = RefundState.SUCCEEDED, refund_id, None
            return _give_back(session, refund, at=at)
        case Declined(reason=reason):
            log.error("refund_failed", refund=refund.id, order=refund.order_id, reason=reason)
            refund.state, refund.due_at = RefundState.FAILED, None
            return [_changed("refund.failed", refund)]
        case NotSent() if not claim.sent_before:
            refund.state, refund.due_at = RefundState.CREATED, at + AGAIN_AFTER
        case _:
            refund.state, refund.due_at = RefundState.UNKNOWN, at + AGAIN_AFTER
    return []


def _give_back(session: Session, refund: Refund, *, at: datetime) -> list[Change]:
    """Book the repayment; an order whose whole total went back is refunded, others stay."""
    ledger.record(
        session,
        [
            Movement(
                txn=refund.key,
                order_id=refund.order_id,
                gateway=refund.gateway,
                amount_minor=-refund.amount_minor,
                currency=refund.currency,
            )
        ],
        at=at,
    )
    return [
        *orders.give_back(session, refund.order_id, amount_minor=refund.amount_minor, at=at),
        _changed("refund.succeeded", refund),
    ]


def _returned(refund: Refund) -> Returned:
    return Returned(
        restocked(refund), f"order {refund.order_id}, refund {refund.n}", refund.requested_by or 0
    )


def restocked(refund: Refund) -> dict[int, int]:
    """Read what comes back into stock with a refund: quantities by product id."""
    kept: dict[str, int] = orjson.loads(refund.restock) if refund.restock else {}
    return {int(product_id): quantity for product_id, quantity in kept.items()}


def _changed(kind: str, refund: Refund) -> Change:
    refund.version += 1
    return Change(PAYMENTS, kind, f"refunds/{refund.id}", refund.version, public(refund))


def public(refund: Refund) -> dict[str, Any]:
    """Show a refund as subscribers see it."""
    shown: RefundData = {
        "id": refund.id,
        "order_id": refund.order_id,
        "user_id": refund.user_id,
        "status": refund.state,
        "amount": money.to_number(refund.amount_minor),
        "currency": refund.currency,
        "reason": refund.reason,
        "restock": [
            {"product_id": product_id, "quantity": quantity}
            for product_id, quantity in restocked(refund).items()
        ],
        "version": refund.version,
        "created_at": refund.created_at,
        "updated_at": refund.updated_at,
    }
    return cast("dict[str, Any]", shown)
