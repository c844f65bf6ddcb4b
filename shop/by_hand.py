"""What no run can find out, settled by a person who has: charges and refunds held for one.

The gateway stays the judge as long as it can be asked. What a person says is written as the
gateway's answer would be, by the same code, and kept with its reason among the order's calls.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.db import Row
from infra.errors import Conflict, NotFound
from shop import gateway_calls, locks, outcomes, payments, repayments
from shop.gateway_calls import CallLog, Operation
from shop.gateways.protocol import ChargeRequest, Succeeded
from shop.locks import LockedOrder
from shop.outcomes import Claim
from shop.payments import Attempt, AttemptState, Payment
from shop.refunds import Refund, RefundState


class NotHeld(Conflict):
    """Nothing about it waits for a person."""

    code = "not_held"

    def __init__(self, what: str, number: int) -> None:
        super().__init__(
            f"Nothing about {what} {number} waits for a person: see `tradepost payments held`."
        )


class IdTaken(Conflict):
    """The gateway's id belongs to another charge of ours."""

    code = "id_taken"

    def __init__(self, gateway_id: str) -> None:
        super().__init__(f"{gateway_id} is the charge of another order.")


class RefundNotFound(NotFound):
    """No such refund."""

    code = "refund_not_found"

    def __init__(self, refund_id: int) -> None:
        super().__init__(f"There is no refund {refund_id}.", refund_id=refund_id)


@dataclass(frozen=True, slots=True)
class Found:
    """A person has found it at the gateway, under this id."""

    gateway_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotMade:
    """A person has made sure that it never was, and never will be."""

    reason: str


def ask_again(session: Session, order_id: int, *, now: datetime | None = None) -> None:
    """Have the gateway asked once more about all of an order that is held.

    Raises:
        OrderNotFound: there is no such order.
        NotHeld: nothing of it waits for a person.
    """
    at, locked = now or clock.now(session), locks.lock_in_doubt(session, order_id)
    doubtful = _held_refunds(session, Refund.order_id == order_id)
    for refund in doubtful:
        refund.due_at = at
    if _is_held(locked):
        _write_payment(session, locked, due_at=at, tries=0)
    elif not doubtful:
        raise NotHeld("order", order_id)


def settle_charge(
    session: Session,
    order_id: int,
    answer: Found | NotMade,
    *,
    fulfilment_delay: timedelta = timedelta(0),
    now: datetime | None = None,
) -> None:
    """Write whether an order's charge was made, as a person found out.

    Raises:
        OrderNotFound: there is no such order.
        NotHeld: its charge does not wait for a person.
        IdTaken: another order was charged so.
    """
    at, locked = now or clock.now(session), locks.lock_in_doubt(session, order_id)
    attempt = locked.live_attempt
    if attempt is None or not _is_held(locked):
        raise NotHeld("order", order_id)
    claim, token = _claim_of(locked, attempt), str(uuid.uuid4())
    claim.log.add(Operation.BY_HAND, claim.request.key, answer, began_s=time.monotonic())
    if isinstance(answer, NotMade):
        gateway_calls.record(session, [(order_id, claim.log)], at=at)
        outcomes.give_up(session, claim, answer.reason, at=at)
        return
    if _is_taken(session, locked, answer.gateway_id):
        raise IdTaken(answer.gateway_id)
    _write_payment(session, locked, lease_token=token)
    outcomes.settle(
        session,
        [(claim, Succeeded(answer.gateway_id))],
        token=token,
        fulfilment_delay=fulfilment_delay,
        now=at,
    )


def settle_refund(
    session: Session, refund_id: int, answer: Found | NotMade, *, now: datetime | None = None
) -> None:
    """Write whether a refund was made, as a person found out.

    Raises:
        RefundNotFound: there is no such refund.
        NotHeld: it does not wait for a person.
    """
    order_id = session.scalar(sa.select(Refund.order_id).where(Refund.id == refund_id))
    if order_id is None:
        raise RefundNotFound(refund_id)
    at = now or clock.now(session)
    payments.lock(session, [order_id])
    refund = next(iter(_held_refunds(session, Refund.id == refund_id)), None)
    if refund is None:
        raise NotHeld("refund", refund_id)
    calls = CallLog()
    calls.add(Operation.BY_HAND, refund.key, answer, began_s=time.monotonic())
    gateway_calls.record(session, [(order_id, calls)], at=at)
    refund.updated_at = at
    if isinstance(answer, Found):
        changes = repayments.book(session, refund, answer.gateway_id, at=at)
        repayments.take_back(session, [refund])
    else:
        changes = repayments.fail(refund, answer.reason)
    outbox.record(session, [*changes, *repayments.go_on(session, [order_id], at=at)])


def _is_held(locked: LockedOrder) -> bool:
    attempt = locked.live_attempt
    return (
        attempt is not None
        and attempt["state"] == AttemptState.NEEDS_HUMAN
        and locked.payment["due_at"] is None
    )


def _is_taken(session: Session, locked: LockedOrder, charge_id: str) -> bool:
    table = Attempt.__table__.c
    others = sa.select(table.id).where(
        table.gateway == locked.payment["gateway"],
        table.charge_id == charge_id,
        table.order_id != locked.id,
    )
    return session.scalar(others) is not None


def _held_refunds(session: Session, mine: sa.ColumnElement[bool]) -> Sequence[Refund]:
    return session.scalars(
        sa.select(Refund)
        .where(mine, Refund.state == RefundState.UNKNOWN, Refund.due_at.is_(None))
        .order_by(Refund.id)
        .with_for_update()
    ).all()


def _claim_of(locked: LockedOrder, attempt: Row) -> Claim:
    return Claim(
        payment=locked.payment,
        request=ChargeRequest.from_document(orjson.loads(attempt["request"])),
        first_sent_at=attempt["first_sent_at"] or attempt["created_at"],
        charge_id=attempt["charge_id"],
    )


def _write_payment(session: Session, locked: LockedOrder, **values: object) -> None:
    session.execute(
        sa.update(Payment)
        .where(Payment.id == locked.payment["id"])
        .values(**values)
        .execution_options(synchronize_session=False)
    )
