"""Charges in doubt, settled by a person who has looked at the gateway's own books.

Take, ask, write: the charge is taken under a lease, so that no worker sends anything meanwhile; the
gateway is asked; then what the person says is written as the gateway's answer would be, by the same
code, and kept among the order's calls with who said it and why.
"""

import time
import uuid
from datetime import datetime, timedelta

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from shop import doubts, gateway_calls, late_charges, locks, outcomes
from shop.claiming import LEASE
from shop.claims import Claim
from shop.decisions import (
    BeingAsked,
    Desk,
    Found,
    IdTaken,
    NotInDoubt,
    NotMade,
    Said,
    check_rest,
)
from shop.gateway_calls import Operation
from shop.gateways.protocol import ChargeRequest, Declined, Missing, Succeeded, Unknown
from shop.locks import LockedOrder
from shop.payments import Attempt, AttemptState, Payment
from shop.refunds import Refund, RefundState
from shop.stock import Handover

# A charge that a person says was never made is looked for once more; by then a late one shows.
LOOK_AFTER = timedelta(hours=1)
_IN_DOUBT = (AttemptState.UNKNOWN, AttemptState.NEEDS_HUMAN)


def ask_again(session: Session, order_id: int, *, now: datetime | None = None) -> None:
    """Have the gateway asked now about all of an order that is in doubt.

    For an order that has ended unpaid that is the charge which was given up: one may turn up late.

    Raises:
        OrderNotFound: there is no such order.
        NotInDoubt: there is nothing to ask.
    """
    at, locked = now or clock.now(session), locks.lock_in_doubt(session, order_id)
    doubtful = session.scalars(
        sa.select(Refund)
        .where(Refund.order_id == order_id, Refund.state == RefundState.UNKNOWN)
        .order_by(Refund.id)
        .with_for_update()
    ).all()
    for refund in doubtful:
        refund.due_at = at
    attempt = locked.live_attempt
    is_open = attempt is not None and attempt["state"] in _IN_DOUBT
    if is_open or late_charges.find_doubtful(session, [locked.payment]):
        _write_payment(session, order_id, due_at=at, tries=0)
    elif not doubtful:
        raise NotInDoubt("order", order_id)


def settle_charge(
    desk: Desk,
    order_id: int,
    decision: Found | NotMade,
    *,
    handover: Handover,
    now: datetime | None = None,
) -> None:
    """Write whether an order's charge was made, as a person found out and the gateway confirms.

    Raises:
        OrderNotFound: there is no such order.
        NotInDoubt, BeingAsked, TooFresh: there is nothing to decide, or not yet.
        GatewayDisagrees, NotConfirmed: the gateway does not say so.
        IdTaken: another order was charged so.
    """
    token = str(uuid.uuid4())

    def take(session: Session) -> Claim:
        return _take(session, order_id, decision, token=token, now=now)

    def let_go(session: Session, claim: Claim) -> None:
        _let_go(session, claim, token=token, now=now)

    def write(session: Session, claim: Claim) -> None:
        at = now or clock.now(session)
        if isinstance(decision, NotMade):
            _give_up(session, claim, token=token, at=at)
        else:
            _book(session, claim, decision, token=token, handover=handover, at=at)

    desk.decide(take, lambda claim: _ask(desk, claim, decision), write, let_go)


def _ask(desk: Desk, claim: Claim, decision: Found | NotMade) -> None:
    key = claim.request.key
    seen_id = decision.gateway_id if isinstance(decision, Found) else claim.charge_id
    said = _look(desk, claim, charge_id=seen_id)
    if isinstance(said, Unknown) and seen_id != claim.charge_id:
        # An id that leads nowhere may be mistyped: what does the gateway have under our key?
        by_key = _look(desk, claim, charge_id=claim.charge_id)
        said = by_key if isinstance(by_key, Succeeded | Declined | Missing) else said
    desk.confirm(key, decision, said)
    claim.log.add(Operation.BY_HAND, key, decision, began_s=time.monotonic())


def _look(desk: Desk, claim: Claim, *, charge_id: str | None) -> Said:
    return desk.ask(
        claim.log,
        Operation.FIND_CHARGE,
        claim.request.key,
        of=claim.payment["gateway"],
        look=lambda gateway: gateway.find_charge(claim.request, charge_id=charge_id),
    )


def _take(
    session: Session,
    order_id: int,
    decision: Found | NotMade,
    *,
    token: str,
    now: datetime | None,
) -> Claim:
    at, locked = now or clock.now(session), locks.lock_in_doubt(session, order_id)
    attempt, lease_until = locked.live_attempt, locked.payment["lease_until"]
    if attempt is None or attempt["state"] not in (*_IN_DOUBT, AttemptState.SENDING):
        raise NotInDoubt("order", order_id)
    if attempt["state"] == AttemptState.SENDING or (lease_until is not None and lease_until > at):
        raise BeingAsked("order", order_id)
    if isinstance(decision, NotMade):
        sent_at = gateway_calls.last_sent_at(session, order_id, key=attempt["key"])
        check_rest(attempt["key"], sent_at=sent_at or attempt["first_sent_at"], at=at)
    elif _is_taken(session, locked, decision.gateway_id):
        raise IdTaken(decision.gateway_id)
    _write_payment(session, order_id, lease_token=token, lease_until=at + LEASE)
    return Claim(
        payment=locked.payment,
        request=ChargeRequest.from_document(orjson.loads(attempt["request"])),
        first_sent_at=attempt["first_sent_at"] or attempt["created_at"],
        n=attempt["n"],
        charge_id=attempt["charge_id"],
    )


def _let_go(session: Session, claim: Claim, *, token: str, now: datetime | None) -> None:
    at = now or clock.now(session)
    gateway_calls.record(session, [(claim.order_id, claim.log)], at=at)
    if _is_ours(session, claim, token):
        _write_payment(session, claim.order_id, lease_token=None, lease_until=None)


def _book(
    session: Session, claim: Claim, found: Found, *, token: str, handover: Handover, at: datetime
) -> None:
    charged = [(claim, Succeeded(found.gateway_id))]
    if not outcomes.settle(session, charged, token=token, handover=handover, now=at):
        raise BeingAsked("order", claim.order_id)


def _give_up(session: Session, claim: Claim, *, token: str, at: datetime) -> None:
    if not _is_ours(session, claim, token):
        raise BeingAsked("order", claim.order_id)
    gateway_calls.record(session, [(claim.order_id, claim.log)], at=at)
    outcomes.give_up(session, claim, doubts.MISSING, at=at)
    _write_payment(session, claim.order_id, due_at=at + LOOK_AFTER)


def _is_ours(session: Session, claim: Claim, token: str) -> bool:
    """Lock the payment and tell whether its lease is still this decision's."""
    holder = sa.select(Payment.lease_token).where(Payment.id == claim.payment_id)
    return session.scalar(holder.with_for_update()) == token


def _is_taken(session: Session, locked: LockedOrder, charge_id: str) -> bool:
    table = Attempt.__table__.c
    others = sa.select(table.id).where(
        table.gateway == locked.payment["gateway"],
        table.charge_id == charge_id,
        table.order_id != locked.id,
    )
    return session.scalar(others) is not None


def _write_payment(session: Session, order_id: int, **values: object) -> None:
    session.execute(
        sa.update(Payment)
        .where(Payment.order_id == order_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
