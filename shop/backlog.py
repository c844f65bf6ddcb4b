"""What is due in the shop, task by task, and the payments that are in doubt or not taken."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from infra.db import UtcDateTime
from infra.events.backlog import MOST, Backlog, measure
from shop.payments import Attempt, AttemptState, Payment
from shop.reconciliation import Reconciliation
from shop.reconciliation import RunState as DayState
from shop.refunds import Refund
from shop.sync import SyncRun, SyncState


def list_due(session: Session, *, now: datetime | None = None) -> list[Backlog]:
    """Measure what each of the shop's tasks would find now."""
    at = now or clock.now(session)
    unheld = sa.or_(Payment.lease_until.is_(None), Payment.lease_until <= at)
    asked = SyncRun.state.in_([SyncState.REQUESTED, SyncState.RUNNING])
    days = Reconciliation.state.in_([DayState.REQUESTED, DayState.RUNNING])
    wanted: list[tuple[str, sa.ColumnElement[Any], sa.ColumnElement[bool]]] = [
        ("payments.settle", _of(Payment.due_at), (Payment.due_at <= at) & unheld),
        ("orders.fulfil", _of(Payment.fulfil_at), Payment.fulfil_at <= at),
        ("refunds.settle", _of(Refund.due_at), Refund.due_at <= at),
        ("products.sync", _of(SyncRun.requested_at), asked),
        ("payments.reconcile", _of(Reconciliation.requested_at), days),
    ]
    return [measure(session, task, due_at=due_at, where=where) for task, due_at, where in wanted]


def count_unknown(session: Session) -> int:
    """Count payments whose outcome nobody knows yet, up to `MOST`: each has a date to ask again."""
    return _count_charges(session, AttemptState.UNKNOWN)


def count_unsent(session: Session) -> int:
    """Count payments that the gateway would not take, up to `MOST`: each is sent again soon."""
    return _count_charges(session, AttemptState.CREATED)


def _count_charges(session: Session, state: AttemptState) -> int:
    standing = (
        sa.select(Payment.id)
        .join(Attempt, Attempt.live_order == Payment.order_id)
        .where(Payment.due_at.is_not(None), Attempt.state == state)
        .limit(MOST)
    )
    return session.scalar(sa.select(sa.func.count()).select_from(standing.subquery())) or 0


def _of(column: Any) -> sa.ColumnElement[Any]:  # noqa: ANN401 - a mapped column of any type
    return sa.type_coerce(column, UtcDateTime())
