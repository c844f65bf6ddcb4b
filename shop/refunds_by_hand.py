"""Refunds in doubt, settled by a person as charges are: take, ask, write."""

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from shop import gateway_calls, payments, repayments
from shop.decisions import (
    BeingAsked,
    Desk,
    Found,
    NotInDoubt,
    NotMade,
    RefundNotFound,
    check_rest,
)
from shop.gateway_calls import CallLog, Operation
from shop.gateways.protocol import RefundRequest
from shop.refunds import Refund, RefundState
from shop.repayments import LEASE


@dataclass(frozen=True, slots=True)
class _Taken:
    """A refund that nobody else works on while the gateway is asked about it."""

    id: int
    order_id: int
    gateway: str
    request: RefundRequest
    log: CallLog = field(default_factory=CallLog)


def settle_refund(
    desk: Desk, refund_id: int, decision: Found | NotMade, *, now: datetime | None = None
) -> None:
    """Write whether a refund was made, as a person found out and the gateway confirms.

    Raises:
        RefundNotFound: there is no such refund.
        NotInDoubt, BeingAsked, TooFresh: there is nothing to decide, or not yet.
        GatewayDisagrees, NotConfirmed: the gateway does not say so.
    """
    token = str(uuid.uuid4())

    def take(session: Session) -> _Taken:
        return _take(session, refund_id, decision, token=token, now=now)

    def let_go(session: Session, taken: _Taken) -> None:
        _let_go(session, taken, token=token, now=now)

    def write(session: Session, taken: _Taken) -> None:
        _write(session, taken, decision, token=token, now=now)

    desk.decide(take, lambda taken: _ask(desk, taken, decision), write, let_go)


def _ask(desk: Desk, taken: _Taken, decision: Found | NotMade) -> None:
    key = taken.request.key
    said = desk.ask(
        taken.log,
        Operation.FIND_REFUND,
        key,
        of=taken.gateway,
        look=lambda gateway: gateway.find_refund(taken.request),
    )
    desk.confirm(key, decision, said)
    taken.log.add(Operation.BY_HAND, key, decision, began_s=time.monotonic())


def _take(
    session: Session,
    refund_id: int,
    decision: Found | NotMade,
    *,
    token: str,
    now: datetime | None,
) -> _Taken:
    order_id = session.scalar(sa.select(Refund.order_id).where(Refund.id == refund_id))
    if order_id is None:
        raise RefundNotFound(refund_id)
    at, refund = now or clock.now(session), _lock(session, order_id, refund_id)
    is_taken = refund.state == RefundState.UNKNOWN and refund.lease_token is not None
    if refund.state == RefundState.SENDING or (is_taken and refund.due_at and refund.due_at > at):
        raise BeingAsked("refund", refund_id)
    if refund.state != RefundState.UNKNOWN:
        raise NotInDoubt("refund", refund_id)
    if isinstance(decision, NotMade):
        sent_at = gateway_calls.last_sent_at(session, order_id, key=refund.key)
        check_rest(refund.key, sent_at=sent_at or refund.first_sent_at, at=at)
    refund.lease_token = token
    if refund.due_at is not None:  # one that is held is nobody's to take
        refund.due_at = at + LEASE
    request = RefundRequest(refund.key, refund.charge_id, refund.amount_minor, refund.currency)
    return _Taken(refund_id, order_id, refund.gateway, request)


def _let_go(session: Session, taken: _Taken, *, token: str, now: datetime | None) -> None:
    at, refund = now or clock.now(session), _lock(session, taken.order_id, taken.id)
    gateway_calls.record(session, [(taken.order_id, taken.log)], at=at)
    if refund.lease_token == token:
        refund.lease_token = None
        refund.due_at = None if refund.due_at is None else at


def _write(
    session: Session,
    taken: _Taken,
    decision: Found | NotMade,
    *,
    token: str,
    now: datetime | None,
) -> None:
    at, refund = now or clock.now(session), _lock(session, taken.order_id, taken.id)
    if refund.lease_token != token:
        raise BeingAsked("refund", taken.id)
    gateway_calls.record(session, [(taken.order_id, taken.log)], at=at)
    refund.lease_token, refund.updated_at, refund.tries = None, at, 0
    if isinstance(decision, Found):
        changes = repayments.book(session, refund, decision.gateway_id, at=at)
        repayments.take_back(session, [refund])
    else:
        changes = repayments.fail(refund, decision.why)
    outbox.record(session, [*changes, *repayments.go_on(session, [taken.order_id], at=at)])


def _lock(session: Session, order_id: int, refund_id: int) -> Refund:
    """Lock a refund, and first the payment of its order."""
    payments.lock(session, [order_id])
    mine = sa.select(Refund).where(Refund.id == refund_id).with_for_update()
    return session.scalars(mine.execution_options(populate_existing=True)).one()
