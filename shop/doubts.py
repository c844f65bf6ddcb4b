"""Charges of which nobody knows what became: when they are asked for again, and until when.

An outage of the gateway leaves hundreds of them at once. So each step is one statement for all that
it treats alike: same date, same reason.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.database.rows import among, chosen, table_of
from infra.logs import log
from infra.outbox import Change
from shop import orders, payments
from shop.claims import Claim
from shop.gateways.protocol import Unknown
from shop.orders import Order, OrderStatus
from shop.payments import REASON_LENGTH, Attempt, AttemptState, Payment

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
MISSING = "the gateway knows no such charge"
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def next_check(
    first_sent_at: datetime, at: datetime, *, checks: Sequence[timedelta] = CHECKS
) -> datetime:
    """Tell when an unknown charge or refund is asked for next."""
    for check in checks:
        if first_sent_at + check > at:
            return first_sent_at + check
    return at + LATE_CHECK


def keep(
    session: Session, doubtful: Sequence[tuple[Claim, Unknown]], *, at: datetime
) -> list[Change]:
    """Keep the stock held and look again later; past the last check a person must decide."""
    if not doubtful:
        return []
    old = [claim.payment_id for claim, _ in doubtful if at - claim.first_sent_at >= HUMAN_AFTER]
    young = [it for it in doubtful if at - it[0].first_sent_at < HUMAN_AFTER]
    _wait(session, [(claim, next_check(claim.first_sent_at, at)) for claim, _ in young])
    return [
        *(hold_for_human(session, old, at=at) if old else ()),
        *_become_unknown(session, young, at=at),
    ]


def note_missing(session: Session, missing: Sequence[Claim], *, at: datetime) -> list[Change]:
    """Doubt that there is no charge: the gateway must say so twice, an hour apart."""
    if not missing:
        return []
    for since, claims in _grouped((it.missing_since or at, it) for it in missing).items():
        order_ids = [claim.order_id for claim in claims]
        payments.mark_attempts(session, order_ids, at=at, missing_since=since)
        _wait(session, [(claim, since + MISSING_TWICE_APART) for claim in claims])
    return _become_unknown(session, [(claim, Unknown(MISSING)) for claim in missing], at=at)


def put_back(session: Session, unsent: Sequence[Claim], *, at: datetime) -> None:
    """Give payments back whose charge was surely not executed, to be sent again soon."""
    if not unsent:
        return
    fresh = [claim.order_id for claim in unsent if not claim.sent_before]
    payments.mark_attempts(session, fresh, at=at, state=AttemptState.CREATED, first_sent_at=None)
    _wait(session, [(claim, at + SEND_AGAIN_AFTER) for claim in unsent])
    log.warning("charges_not_sent", count=len(unsent))


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
    payments.close(session, payment_ids, at=at)
    return [
        *orders.advance(session, doubtful, status=OrderStatus.PAYMENT_UNKNOWN, at=at),
        *payments.changes(session, payment_ids, kind="payment.needs_human"),
    ]


def _become_unknown(
    session: Session, doubtful: Sequence[tuple[Claim, Unknown]], *, at: datetime
) -> list[Change]:
    """Tell of doubts when they begin, and of charges' ids when they become known."""
    pending = _pending(session, [claim.order_id for claim, _ in doubtful])
    ids = {
        claim.order_id: doubt.charge_id
        for claim, doubt in doubtful
        if doubt.charge_id and not claim.charge_id
    }
    news = [it for it in doubtful if it[0].order_id in pending or it[0].order_id in ids]
    if len(news) < len(doubtful):
        log.info("charges_still_unknown", count=len(doubtful) - len(news))
    if not news:
        return []
    for reason, order_ids in _grouped((doubt.reason, it.order_id) for it, doubt in news).items():
        told = reason[:REASON_LENGTH]
        payments.mark_attempts(session, order_ids, at=at, state=AttemptState.UNKNOWN, reason=told)
    _write_ids(session, ids)
    payment_ids = [claim.payment_id for claim, _ in news]
    _touch(session, payment_ids, at=at)
    return [
        *orders.advance(session, sorted(pending), status=OrderStatus.PAYMENT_UNKNOWN, at=at),
        *payments.changes(session, payment_ids, kind="payment.unknown"),
    ]


def _pending(session: Session, order_ids: Iterable[int]) -> set[int]:
    table = table_of(Order).c
    some = sa.select(table.id).where(
        among(table.id, order_ids), table.status == OrderStatus.PENDING
    )
    return set(session.scalars(some))


def _write_ids(session: Session, charge_ids: Mapping[int, str]) -> None:
    if charge_ids:
        table = table_of(Attempt)
        session.execute(
            sa.update(table)
            .where(among(table.c.order_id, charge_ids), table.c.live_order.is_not(None))
            .values(charge_id=chosen(table.c.order_id, charge_ids))
        )


def _touch(session: Session, payment_ids: Sequence[int], *, at: datetime) -> None:
    table = table_of(Payment)
    session.execute(
        sa.update(table)
        .where(among(table.c.id, payment_ids))
        .values(version=table.c.version + 1, updated_at=at)
    )


def _wait(session: Session, until: Sequence[tuple[Claim, datetime]]) -> None:
    """Give payments back until then; at once where a webhook came while one was ours."""
    told = _told(session, [claim for claim, _ in until])
    _free(session, sorted(told))
    quiet = ((date, claim.payment_id) for claim, date in until if claim.payment_id not in told)
    for date, payment_ids in _grouped(quiet).items():
        _free(session, payment_ids, due_at=date)


def _told(session: Session, claims: Sequence[Claim]) -> set[int]:
    """Name the payments that were made due since they were claimed."""
    table = table_of(Payment).c
    ids = [claim.payment_id for claim in claims]
    standing = sa.select(table.id, table.due_at).where(among(table.id, ids))
    due_at = {row.id: row.due_at for row in session.execute(standing)}
    return {
        claim.payment_id
        for claim in claims
        if (now_due_at := due_at[claim.payment_id]) and now_due_at > claim.payment["due_at"]
    }


def _free(session: Session, payment_ids: Sequence[int], **values: object) -> None:
    if payment_ids:
        table = table_of(Payment)
        session.execute(
            sa.update(table)
            .where(among(table.c.id, payment_ids))
            .values(lease_token=None, lease_until=None, tries=0, **values)
        )


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
