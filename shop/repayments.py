"""Give back money that is due: claim, act, settle, as for charges."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, failpoints, outbox
from infra.db import Sessions, transact
from infra.jobs import in_hand
from infra.jobs.in_hand import Thing
from infra.logs import log
from infra.outbox import Change
from infra.parallel import answer_groups
from shop import doubts, gateway_calls, ledger, orders, payments, refunds, returns, stock
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
from shop.orders import OrderStatus
from shop.refunds import OPEN, Captured, Refund, RefundState, Wish
from shop.returns import Returned

LEASE = timedelta(seconds=30)
DEADLINE_S = 20.0
BATCH = 50
MOST_TRIES = 10
AGAIN_AFTER = timedelta(seconds=5)
# When a refund in doubt is looked for, counted from the first send; then every 12 hours.
CHECKS = (AGAIN_AFTER, *doubts.CHECKS)
# Gateways forget keys after about a day; from here on we only look. Their lists of a charge's
# refunds do not lag, so one that is not there by then was never made.
SEND_AGAIN_FOR = timedelta(hours=20)
# When a refusal is followed by another refund, where the buyer has neither goods nor money.
AFTER_REFUSALS = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=12))
_NEVER_MADE = "the gateway has no such refund"


@dataclass(frozen=True, slots=True)
class Claim:
    """A refund that is ours until the lease ends."""

    refund_id: int
    order_id: int
    request: RefundRequest
    sent_before: bool
    may_send: bool = True
    request_id: str | None = None
    log: CallLog = field(default_factory=CallLog, compare=False)


def settle_due(
    sessions: Sessions,
    gateway: PaymentGateway,
    *,
    ring_again: Callable[[], None],
    now: datetime | None = None,
) -> int:
    """Send refunds that are due and write what the gateway said; return how many succeeded.

    A full batch means that there are more: then others are called before its refunds are sent.
    Safe to repeat: a refund has one holder at a time and one key for ever.
    """
    token, done = str(uuid.uuid4()), 0
    claims = transact(
        sessions, lambda session: _claim(session, token=token, gateway=gateway, now=now)
    )
    if claims:
        failpoints.reach("refunds.claimed")
    if len(claims) == _batch_of(gateway):
        ring_again()
    things = {claim.refund_id: _in_hand(claim) for claim in claims}
    in_hand.take_up(*things.values())

    def call(claim: Claim) -> Answer | Missing:
        return ask(gateway, claim)

    limit = gateway.max_in_flight
    for group in answer_groups(call, claims, limit=limit, deadline_s=DEADLINE_S):
        failpoints.reach("refunds.sent")
        done += transact(sessions, lambda session: _settle(session, group, token=token, now=now))  # noqa: B023 - runs before the next group comes
        for claim, answer in group:
            _put_down(things[claim.refund_id], answer)
    return done


def ask(gateway: PaymentGateway, claim: Claim) -> Answer | Missing:
    """Send a refund, or first look for it if it may have been sent before."""
    request = claim.request
    if claim.sent_before:
        found = claim.log.timed(
            Operation.FIND_REFUND, request.key, lambda: gateway.find_refund(request)
        )
        if not (isinstance(found, Missing) and claim.may_send):
            return found
    return claim.log.timed(Operation.REFUND, request.key, lambda: gateway.refund(request))


def book(session: Session, refund: Refund, refund_id: str, *, at: datetime) -> list[Change]:
    """Write that a refund was made; an order whose whole total went back is refunded.

    Its goods are taken back by `take_back`, which locks the products of many in their order.
    """
    refund.state, refund.refund_id, refund.due_at = RefundState.SUCCEEDED, refund_id, None
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
        refunds.changed("refund.succeeded", refund),
    ]


def take_back(session: Session, ended: Iterable[Refund]) -> None:
    """Put the goods on hand again that came with refunds that were made, all in one go."""
    session.flush()
    made = [refund for refund in ended if refund.state == RefundState.SUCCEEDED]
    returns.take_back(session, [_returned(refund) for refund in made])


def fail(refund: Refund, reason: str) -> list[Change]:
    """Write that a refund was not made, and never will be under its key."""
    log.error("refund_failed", refund=refund.id, order=refund.order_id, reason=reason)
    refund.state, refund.due_at = RefundState.FAILED, None
    return [refunds.changed("refund.failed", refund)]


def go_on(session: Session, order_ids: Sequence[int], *, at: datetime) -> list[Change]:
    """Let no order wait for a refund that will not come; their payment rows are locked.

    Delivered goods are sold again for what was not given back. Who has neither goods nor money is
    given it under the next key, later.
    """
    session.flush()
    changes: list[Change] = []
    for captured in refunds.lock_captured(session, order_ids):
        stuck = captured.order["status"] == OrderStatus.REFUNDING and captured.left_minor
        if not stuck or any(refund.state in OPEN for refund in captured.refunds):
            continue
        if any(stock.delivered(session, captured.order["id"]).values()):
            changes += orders.keep_sold(session, captured.order["id"], at=at)
        else:
            _owe_again(session, captured, at=at)
    return changes


def _in_hand(claim: Claim) -> Thing:
    told = {"refund_id": claim.refund_id, "order_id": claim.order_id}
    return Thing(told, key=f"refunds/{claim.refund_id}", request_id=claim.request_id)


def _put_down(thing: Thing, answer: Answer | Missing) -> None:
    """Say how it ended; without a clear answer it is taken up again later."""
    match answer:
        case Succeeded():
            thing.end()
        case Declined(reason=reason):
            thing.end(f"The gateway refused it: {reason}.")
        case Missing():
            thing.end(f"It was not made: {_NEVER_MADE}.")


def _owe_again(session: Session, captured: Captured, *, at: datetime) -> None:
    refused = [it for it in captured.refunds if it.state == RefundState.FAILED]
    wait = AFTER_REFUSALS[min(len(refused), len(AFTER_REFUSALS)) - 1]
    last = refused[-1]
    wish = Wish(captured.left_minor, last.reason, requested_by=last.requested_by)
    again = refunds.add(session, captured, wish, at=at)
    again.due_at = at + wait


def _claim(
    session: Session, *, token: str, gateway: PaymentGateway, now: datetime | None
) -> list[Claim]:
    """Take due refunds; being claimed makes one due again when the lease ends."""
    now = now or clock.now(session)
    due = session.scalars(
        sa.select(Refund)
        .where(Refund.due_at <= now, Refund.gateway == gateway.name)
        .order_by(Refund.due_at, Refund.id)
        .limit(_batch_of(gateway))
        .with_for_update(skip_locked=True)
    ).all()
    for refund in due:
        if refund.tries >= MOST_TRIES:
            hold_for_human(refund, at=now)
    taken = [refund for refund in due if refund.due_at is not None]
    claims = [_claim_of(refund, now) for refund in taken]
    for refund in taken:
        refund.lease_token, refund.due_at = token, now + LEASE
        refund.state, refund.updated_at = RefundState.SENDING, now
        refund.first_sent_at, refund.tries = refund.first_sent_at or now, refund.tries + 1
    return claims


def _batch_of(gateway: PaymentGateway) -> int:
    return min(BATCH, gateway.max_in_flight)


def _claim_of(refund: Refund, now: datetime) -> Claim:
    first_sent_at = refund.first_sent_at or now
    return Claim(
        refund.id,
        refund.order_id,
        RefundRequest(refund.key, refund.charge_id, refund.amount_minor, refund.currency),
        sent_before=refund.state != RefundState.CREATED,
        may_send=now - first_sent_at < SEND_AGAIN_FOR,
        request_id=refund.request_id,
    )


def hold_for_human(refund: Refund, *, at: datetime) -> None:
    """Stop asking for a refund whose fate no run can find out; it stays unknown."""
    log.error("refund_needs_human", refund=refund.id, order=refund.order_id)
    refund.state, refund.due_at, refund.lease_token = RefundState.UNKNOWN, None, None
    refund.tries, refund.updated_at = 0, at


def _settle(
    session: Session,
    answered: Sequence[tuple[Claim, Answer | Missing]],
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
    logs = [(refund.order_id, answers[refund.id][0].log) for refund in ours]
    gateway_calls.record(session, logs, at=now)
    ended = [refund for refund in ours if refund.state not in OPEN]
    take_back(session, ended)
    changes += go_on(session, sorted({refund.order_id for refund in ended}), at=now)
    asked_by = {f"refunds/{refund.id}": refund.request_id for refund in ours}
    outbox.record(session, changes, asked_by=asked_by)
    return sum(refund.state == RefundState.SUCCEEDED for refund in ended)


def _write(
    session: Session, refund: Refund, claim: Claim, answer: Answer | Missing, *, at: datetime
) -> list[Change]:
    refund.lease_token, refund.updated_at, refund.tries = None, at, 0
    match answer:
        case Succeeded(id=refund_id):
            return book(session, refund, refund_id, at=at)
        case Declined(reason=reason):
            return fail(refund, reason)
        case Missing():
            return fail(refund, _NEVER_MADE)
        case NotSent() if not claim.sent_before:
            refund.state, refund.first_sent_at = RefundState.CREATED, None
            refund.due_at = at + AGAIN_AFTER
        case _:
            _doubt(refund, first_sent_at=refund.first_sent_at or at, at=at)
    return []


def _doubt(refund: Refund, *, first_sent_at: datetime, at: datetime) -> None:
    if at - first_sent_at >= doubts.HUMAN_AFTER:
        hold_for_human(refund, at=at)
        return
    refund.state = RefundState.UNKNOWN
    refund.due_at = doubts.next_check(first_sent_at, at, checks=CHECKS)


def _returned(refund: Refund) -> Returned:
    note = f"order {refund.order_id}, refund {refund.n}"
    return Returned(refunds.restocked(refund), note, refund.requested_by or 0)
