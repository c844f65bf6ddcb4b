"""Take the money of due payments: claim, act, settle.

Two short transactions with the gateway calls between them, none open across the network. The
intent, with its key, is committed before the call; so a crash at any line leaves a row that says
what may have happened, and the next run asks, or repeats under the same key.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from infra import clock, failpoints, outbox
from infra.db import Row, Sessions, transact
from infra.logs import log
from infra.parallel import answer_groups
from infra.rows import among, insert_rows, table_of
from shop import late_charges, outcomes, payments
from shop.gateway_calls import Operation
from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Missing,
    PaymentGateway,
    Succeeded,
    Unknown,
    Unlisted,
)
from shop.orders import Order, OrderStatus
from shop.outcomes import Answered, Claim
from shop.payments import Attempt, AttemptState, Payment

LEASE = timedelta(seconds=30)
DEADLINE_S = 20.0
BUDGET_S = 5.0
MOST_TRIES = 10
# Gateways forget keys after about a day; from here on we only ask.
SEND_AGAIN_FOR = timedelta(hours=20)
_ID_TAKEN = Unknown("the charge's id was used before")
_SILENT = Unknown("the gateway's search shows no such charge")

_CLAIMED = (
    "id",
    "order_id",
    "user_id",
    "gateway",
    "amount_minor",
    "currency",
    "due_at",
    "token",
    "tries",
    "version",
    "created_at",
    "request_id",
)


@dataclass(frozen=True, slots=True)
class Settler:
    """What settling works with; `ring_again` calls idle processes to help."""

    sessions: Sessions
    gateway: PaymentGateway
    ring_again: Callable[[], None]
    fulfilment_delay: timedelta = timedelta(0)


def settle_due(settler: Settler, *, now: datetime | None = None) -> int:
    """Charge payments that are due, in batches, for at most five seconds; return how many settled.

    Safe to run anywhere and any number of times: a payment has one holder at a time.
    """
    ends_at, settled, size = time.monotonic() + BUDGET_S, 0, settler.gateway.max_in_flight
    while True:
        claims, token = _claim(settler, limit=size, now=now)
        if len(claims) == size:
            settler.ring_again()
        settled += _act(settler, claims, token=token, now=now)
        if len(claims) < size or time.monotonic() > ends_at:
            return settled


def _claim(settler: Settler, *, limit: int, now: datetime | None) -> tuple[list[Claim], str]:
    token = str(uuid.uuid4())

    def work(session: Session) -> list[Claim]:
        return claim(session, token=token, limit=limit, gateway=settler.gateway.name, now=now)

    return transact(settler.sessions, work), token


def claim(
    session: Session, *, token: str, limit: int, gateway: str, now: datetime | None = None
) -> list[Claim]:
    """Take due payments under a lease and write down what is about to be sent for each."""
    now = now or clock.now(session)
    due = _lock_due(session, limit=limit, gateway=gateway, now=now)
    if not due:
        return []
    due, late = _without_settled_orders(session, due, now)
    worn = [row["id"] for row in due if row["tries"] >= MOST_TRIES]
    _hand_to_human(session, worn, now)
    taken = [row for row in due if row["tries"] < MOST_TRIES]
    _lease(session, [row["id"] for row in taken] + [it.payment_id for it in late], token, now)
    tried = payments.newest_attempts(session, [row["order_id"] for row in taken])
    live = {order_id: row for order_id, row in tried.items() if row["live_order"] is not None}
    claims = [_resume(row, live[row["order_id"]], now) for row in taken if row["order_id"] in live]
    _mark_sending(session, claims, now)
    fresh = [row for row in taken if row["order_id"] not in live]
    return claims + late + _begin(session, fresh, tried, now)


def _lock_due(session: Session, *, limit: int, gateway: str, now: datetime) -> Sequence[Row]:
    table = table_of(Payment)
    query = (
        sa.select(*(table.c[name] for name in _CLAIMED))
        .where(
            table.c.due_at <= now,
            sa.or_(table.c.lease_until.is_(None), table.c.lease_until <= now),
            table.c.gateway == gateway,
        )
        .order_by(table.c.due_at, table.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return session.execute(query).mappings().all()


def _lease(session: Session, payment_ids: list[int], token: str, now: datetime) -> None:
    table = table_of(Payment)
    session.execute(
        sa.update(table)
        .where(among(table.c.id, payment_ids))
        .values(lease_token=token, lease_until=now + LEASE, tries=table.c.tries + 1)
    )


def _without_settled_orders(
    session: Session, due: Sequence[Row], now: datetime
) -> tuple[list[Row], list[Claim]]:
    """Part off payments of orders that want no money any more, and close them.

    Those whose charge was given up, and is to be looked for once more, are claimed for that.
    """
    orders = table_of(Order).c
    settled = set(
        session.scalars(
            sa.select(orders.id).where(
                among(orders.id, [row["order_id"] for row in due]),
                orders.status.not_in([OrderStatus.PENDING, OrderStatus.PAYMENT_UNKNOWN]),
            )
        )
    )
    ended = [row for row in due if row["order_id"] in settled]
    if not ended:
        return list(due), []
    doubtful = late_charges.find_doubtful(session, ended)
    done = [row["id"] for row in ended if row["order_id"] not in doubtful]
    session.execute(sa.update(Payment).where(Payment.id.in_(done)).values(due_at=None))
    late = [
        _look_for(row, doubtful[row["order_id"]], now)
        for row in ended
        if row["order_id"] in doubtful
    ]
    return [row for row in due if row["order_id"] not in settled], late


def _look_for(payment: Row, attempt: Row, now: datetime) -> Claim:
    resumed = _resume(payment, attempt, now)
    return replace(resumed, sent_before=True, may_send=False, ended=True)


def _hand_to_human(session: Session, payment_ids: list[int], now: datetime) -> None:
    if payment_ids:
        outbox.record(session, outcomes.hold_for_human(session, payment_ids, at=now))


def _resume(payment: Row, attempt: Row, now: datetime) -> Claim:
    first_sent_at = attempt["first_sent_at"]
    return Claim(
        payment=payment,
        request=ChargeRequest.from_document(orjson.loads(attempt["request"])),
        first_sent_at=first_sent_at or now,
        sent_before=first_sent_at is not None,
        may_send=first_sent_at is None or now - first_sent_at < SEND_AGAIN_FOR,
        missing_since=attempt["missing_since"],
        charge_id=attempt["charge_id"],
    )


def _mark_sending(session: Session, claims: Sequence[Claim], now: datetime) -> None:
    unsent = [claim.order_id for claim in claims if not claim.sent_before]
    if unsent:
        session.execute(
            sa.update(Attempt)
            .where(Attempt.live_order.in_(unsent))
            .values(state=AttemptState.SENDING, first_sent_at=now, updated_at=now)
            .execution_options(synchronize_session=False)
        )


def _begin(
    session: Session, fresh: Sequence[Row], tried: Mapping[int, Row], now: datetime
) -> list[Claim]:
    """Write the next attempt of each order; the keys of earlier ones are never used again."""
    if not fresh:
        return []
    claims, rows = [], []
    for row in fresh:
        n = tried[row["order_id"]]["n"] + 1 if row["order_id"] in tried else 1
        request = ChargeRequest(
            key=f"{row['order_id']}:{n}",
            reference=str(row["order_id"]),
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            token=row["token"],
        )
        claims.append(Claim(row, request, first_sent_at=now))
        rows.append(_attempt_row(row, n, request, now))
    insert_rows(session, table_of(Attempt), rows)
    return claims


def _attempt_row(payment: Row, n: int, request: ChargeRequest, now: datetime) -> dict[str, Any]:
    return {
        "order_id": payment["order_id"],
        "n": n,
        "gateway": payment["gateway"],
        "key": request.key,
        "request": orjson.dumps(request.as_document()).decode(),
        "state": AttemptState.SENDING.value,
        "first_sent_at": now,
        "created_at": now,
        "updated_at": now,
    }


def _act(settler: Settler, claims: Sequence[Claim], *, token: str, now: datetime | None) -> int:
    """Call the gateway for every claim and settle the answers in groups, as they come."""
    if not claims:
        return 0
    settled = 0
    failpoints.reach("payments.claimed")

    def call(claim: Claim) -> Answer | Missing:
        return ask(settler.gateway, claim)

    size = settler.gateway.max_in_flight
    for group in answer_groups(call, claims, limit=size, deadline_s=DEADLINE_S):
        failpoints.reach("payments.charged")
        settled += _settle(settler, group, token=token, now=now)
    return settled


def _settle(settler: Settler, answered: Answered, *, token: str, now: datetime | None) -> int:
    """Write answers; one that cannot be written is in doubt and does not hold up the others."""

    def work(session: Session) -> int:
        return outcomes.settle(
            session, answered, token=token, fulfilment_delay=settler.fulfilment_delay, now=now
        )

    try:
        return transact(settler.sessions, work)
    except IntegrityError:
        if len(answered) == 1 and answered[0][1] == _ID_TAKEN:
            raise
        log.error("charges_not_written", count=len(answered))
        # A charge id that belongs to another order already proves nothing about this one.
        doubted = [(answered[0][0], _ID_TAKEN)]
        alone = answered if len(answered) > 1 else doubted
        return sum(_settle(settler, [one], token=token, now=now) for one in alone)


def ask(gateway: PaymentGateway, claim: Claim) -> Answer | Missing:
    """Send a charge, or first look for it if it may have been sent before."""
    key = claim.request.key
    if claim.sent_before:
        found = claim.log.timed(
            Operation.FIND_CHARGE,
            key,
            lambda: gateway.find_charge(claim.request, charge_id=claim.charge_id),
        )
        if not isinstance(found, Missing | Unlisted):
            return found
        if not claim.may_send:
            return _SILENT if isinstance(found, Unlisted) else found
    began_s = time.monotonic()
    answer = gateway.charge(claim.request)
    # A first send that succeeds stands in its attempt.
    if claim.sent_before or not isinstance(answer, Succeeded):
        claim.log.add(Operation.CHARGE, key, answer, began_s=began_s)
    return answer
