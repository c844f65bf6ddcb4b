"""Take due payments under a lease, and write down what is about to be sent for each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.database.prepared import Prepared
from infra.database.rows import among_given, insert_rows, table_of
from infra.db import Row
from shop import doubts, late_charges, payments
from shop.claims import Claim
from shop.gateways.protocol import ChargeRequest
from shop.orders import Order, OrderStatus
from shop.payments import Attempt, AttemptState, Payment

LEASE = timedelta(seconds=30)
# A call takes up to 17 s. One that begins later than so after its claim could outlast the lease.
SEND_WITHIN_S = 10.0
MOST_TRIES = 10
# Gateways forget keys after about a day; from here on we only ask.
SEND_AGAIN_FOR = timedelta(hours=20)

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST_DUE = itemgetter("due_at", "id")
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

_PAYMENT, _ORDER = table_of(Payment).c, table_of(Order).c
# What everybody may take at `now`: not settled, no living lease.
_FREE = (
    _PAYMENT.due_at <= sa.bindparam("now"),
    sa.or_(_PAYMENT.lease_until.is_(None), _PAYMENT.lease_until <= sa.bindparam("now")),
    _PAYMENT.gateway == sa.bindparam("at"),
)
_FIND = Prepared(
    sa.select(_PAYMENT.id, _PAYMENT.due_at)
    .where(
        *_FREE,
        _PAYMENT.due_at >= sa.bindparam("from_at"),
        sa.or_(_PAYMENT.due_at > sa.bindparam("from_at"), _PAYMENT.id > sa.bindparam("after_id")),
    )
    .order_by(_PAYMENT.due_at, _PAYMENT.id)
    .limit(sa.bindparam("most"))
)
_TAKE = Prepared(
    sa.select(*(_PAYMENT[name] for name in _CLAIMED))
    .where(*_FREE, among_given(_PAYMENT.id, "ids"))
    .with_for_update(skip_locked=True)
)
_HOLD = Prepared(
    sa.update(table_of(Payment))
    .where(among_given(_PAYMENT.id, "ids"))
    .values(
        lease_token=sa.bindparam("held_by"),
        lease_until=sa.bindparam("until"),
        tries=_PAYMENT.tries + 1,
    )
)
_ENDED = Prepared(
    sa.select(_ORDER.id).where(
        among_given(_ORDER.id, "ids"),
        _ORDER.status != OrderStatus.PENDING,
        _ORDER.status != OrderStatus.PAYMENT_UNKNOWN,
    )
)


def claim(
    session: Session,
    *,
    token: str,
    limit: int,
    gateway: str,
    now: datetime | None = None,
    begins_s: float | None = None,
) -> list[Claim]:
    """Take due payments under a lease and write down what is about to be sent for each.

    `begins_s` is when the transaction began, by this process's monotonic clock, if not just now.
    """
    # From before the database's clock is read: no lease ends sooner.
    begins_s = time.monotonic() if begins_s is None else begins_s
    now = now or clock.now(session)
    lease = _Lease(token, now, begins_s + SEND_WITHIN_S)
    due: Sequence[Row] = _lock_due(session, limit=limit, gateway=gateway, now=now)
    if not due:
        return []
    due, late = _without_settled_orders(session, due, lease)
    worn = [row["id"] for row in due if row["tries"] >= MOST_TRIES]
    _hand_to_human(session, worn, now)
    taken = [row for row in due if row["tries"] < MOST_TRIES]
    _hold(session, [row["id"] for row in taken] + [it.payment_id for it in late], lease)
    tried = payments.newest_attempts(session, [row["order_id"] for row in taken])
    live = {order_id: row for order_id, row in tried.items() if row["live_order"] is not None}
    claims = [
        _resume(row, live[row["order_id"]], lease) for row in taken if row["order_id"] in live
    ]
    _mark_sending(session, claims, now)
    fresh = [row for row in taken if row["order_id"] not in live]
    return claims + late + _begin(session, fresh, tried, lease)


@dataclass(frozen=True, slots=True)
class _Lease:
    """What makes payments ours: a token, since when, and how long it leaves time for a call."""

    token: str
    begins_at: datetime
    send_by_s: float


def _lock_due(session: Session, *, limit: int, gateway: str, now: datetime) -> list[Row]:
    """Lock what has been due for longest, except what others have locked.

    It is found without locks. To go through what is due with locks would keep those on the index
    entries of what others are settling, and a settlement would wait until the claim is committed.
    """
    due: list[Row] = []
    from_at, after_id = _LONG_AGO, 0
    while (wanted := limit - len(due)) > 0:
        some = {"now": now, "at": gateway, "from_at": from_at, "after_id": after_id}
        found = _FIND.run(session, most=wanted, **some).rows
        if found:
            taken = _TAKE.read(session, now=now, at=gateway, ids=[id_ for id_, _ in found])
            due += sorted(taken, key=_LONGEST_DUE)
        if len(found) < wanted:
            break
        # Others were faster with some of them: go on behind the last.
        from_at, after_id = clock.instant(found[-1][1]), found[-1][0]
    return due


def _hold(session: Session, payment_ids: list[int], lease: _Lease) -> None:
    until = lease.begins_at + LEASE
    _HOLD.run(session, ids=payment_ids, held_by=lease.token, until=until)


def _without_settled_orders(
    session: Session, due: Sequence[Row], lease: _Lease
) -> tuple[list[Row], list[Claim]]:
    """Part off payments of orders that want no money any more, and close them.

    Those whose charge was given up, and is to be looked for once more, are claimed for that.
    """
    settled = {id_ for (id_,) in _ENDED.run(session, ids=[row["order_id"] for row in due]).rows}
    ended = [row for row in due if row["order_id"] in settled]
    if not ended:
        return list(due), []
    doubtful = late_charges.find_doubtful(session, ended)
    done = [row["id"] for row in ended if row["order_id"] not in doubtful]
    session.execute(sa.update(Payment).where(Payment.id.in_(done)).values(due_at=None))
    late = [
        _look_for(row, doubtful[row["order_id"]], lease)
        for row in ended
        if row["order_id"] in doubtful
    ]
    return [row for row in due if row["order_id"] not in settled], late


def _look_for(payment: Row, attempt: Row, lease: _Lease) -> Claim:
    resumed = _resume(payment, attempt, lease)
    return replace(resumed, sent_before=True, may_send=False, ended=True)


def _hand_to_human(session: Session, payment_ids: list[int], now: datetime) -> None:
    if payment_ids:
        outbox.record(session, doubts.hold_for_human(session, payment_ids, at=now))


def _resume(payment: Row, attempt: Row, lease: _Lease) -> Claim:
    now, first_sent_at = lease.begins_at, attempt["first_sent_at"]
    return Claim(
        payment=payment,
        request=ChargeRequest.from_document(orjson.loads(attempt["request"])),
        first_sent_at=first_sent_at or now,
        n=attempt["n"],
        sent_before=first_sent_at is not None,
        may_send=first_sent_at is None or now - first_sent_at < SEND_AGAIN_FOR,
        missing_since=attempt["missing_since"],
        charge_id=attempt["charge_id"],
        send_by_s=lease.send_by_s,
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
    session: Session, fresh: Sequence[Row], tried: Mapping[int, Row], lease: _Lease
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
        claims.append(Claim(row, request, lease.begins_at, n, send_by_s=lease.send_by_s))
        rows.append(_attempt_row(row, n, request, lease.begins_at))
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
