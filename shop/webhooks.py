"""Webhooks: remember that an event came, and make what it is about due; the settlement asks.

The inbox row and the mark are one transaction, so an event that was answered has had its effect,
and one that comes again has none. What an event claims is never believed, only looked into.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock
from infra.db import Base, Sessions, UtcDateTime, binary_string, is_duplicate, transact
from infra.logs import log
from shop import payments
from shop.gateways.notices import LONGEST_ID, LONGEST_TYPE, Notice, Subject
from shop.payments import AttemptState, Payment
from shop.refunds import Refund, RefundState

# Stripe repeats an event for three days at most, and lets people resend it for thirty.
# Source: https://docs.stripe.com/webhooks, 2026-11.
KEEP = timedelta(days=31)
BATCH = 500
MOST_BATCHES = 40
# Source: https://docs.stripe.com/refunds#failed-refunds, 2026-11.
_REFUND_FAILED = "refund.failed"
# A charge of which anything is left to find out, be it that it was given up too early.
_OPEN = frozenset(AttemptState) - {AttemptState.SUCCEEDED, AttemptState.DECLINED}


class WebhookInbox(Base):
    """One event that a gateway has sent."""

    __tablename__ = "webhook_inbox"

    gateway: Mapped[str] = mapped_column(binary_string(20), primary_key=True)
    event_id: Mapped[str] = mapped_column(binary_string(LONGEST_ID), primary_key=True)
    type: Mapped[str] = mapped_column(sa.String(LONGEST_TYPE))
    body_hash: Mapped[str] = mapped_column(binary_string(64))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


@dataclass(frozen=True, slots=True)
class Received:
    """What came of an event: whether it is a new one, and what there is to be done now."""

    is_new: bool
    payment_due: bool = False
    refund_due: bool = False


def receive(sessions: Sessions, notice: Notice, *, now: datetime | None = None) -> Received:
    """Store an event and make its payment or refund due; the same event again does nothing.

    Raises:
        DatabaseBusy, DatabaseDown, CommitUnknown: it was not stored, for all we know; the gateway
            sends it again.
    """
    try:
        return transact(
            sessions, lambda session: _store(session, notice, now or clock.now(session))
        )
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
    transact(sessions, lambda session: _compare(session, notice))
    return Received(is_new=False)


def forget(sessions: Sessions, *, now: datetime | None = None) -> int:
    """Delete events that came long ago, in small transactions; return how many.

    Safe to repeat and to interrupt. No gateway sends an event again after so long.
    """
    done = 0
    for _ in range(MOST_BATCHES):
        batch = transact(sessions, lambda session: _forget_batch(session, now))
        done += batch
        if batch < BATCH:
            break
    return done


def _forget_batch(session: Session, now: datetime | None) -> int:
    key = sa.tuple_(WebhookInbox.gateway, WebhookInbox.event_id)
    old = session.execute(
        sa.select(WebhookInbox.gateway, WebhookInbox.event_id)
        .where(WebhookInbox.received_at < (now or clock.now(session)) - KEEP)
        .order_by(WebhookInbox.received_at)
        .limit(BATCH)
    ).all()
    if old:
        session.execute(sa.delete(WebhookInbox).where(key.in_([tuple(row) for row in old])))
    return len(old)


def _store(session: Session, notice: Notice, now: datetime) -> Received:
    session.add(
        WebhookInbox(
            gateway=notice.gateway,
            event_id=notice.event_id,
            type=notice.type,
            body_hash=notice.body_hash,
            received_at=now,
        )
    )
    session.flush()
    match notice.subject:
        case Subject.CHARGE:
            return Received(is_new=True, payment_due=_wake_payment(session, notice, now))
        case Subject.REFUND:
            return Received(is_new=True, refund_due=_wake_refunds(session, notice, now))
    log.info("webhook_ignored", gateway=notice.gateway, type=notice.type)
    return Received(is_new=True)


def _wake_payment(session: Session, notice: Notice, now: datetime) -> bool:
    """Make a payment due whose charge is in doubt; its worker gives one that it holds back so."""
    mine = sa.select(Payment).where(
        Payment.order_id == notice.order_id, Payment.gateway == notice.gateway
    )
    payment = session.scalar(mine.with_for_update()) if notice.order_id is not None else None
    if payment is None:
        log.info("webhook_of_unknown_charge", gateway=notice.gateway, id=notice.event_id)
        return False
    newest = payments.newest_attempts(session, [payment.order_id]).get(payment.order_id)
    if newest is None or newest["state"] not in _OPEN:
        return False
    if payment.due_at is None or payment.due_at > now or payment.lease_token is not None:
        payment.due_at = now
    return True


def _wake_refunds(session: Session, notice: Notice, now: datetime) -> bool:
    """Make refunds due that are in doubt; one that is being sent has its own time."""
    if notice.charge_id is None:
        return False
    doubtful = session.scalars(
        sa.select(Refund)
        .where(
            Refund.charge_id == notice.charge_id,
            Refund.gateway == notice.gateway,
            Refund.state == RefundState.UNKNOWN,
            sa.or_(Refund.due_at.is_(None), Refund.due_at > now),
        )
        .with_for_update()
    ).all()
    for refund in doubtful:
        refund.due_at = now
    if not doubtful and notice.type == _REFUND_FAILED:
        _warn_of_booked(session, notice)
    return bool(doubtful)


def _warn_of_booked(session: Session, notice: Notice) -> None:
    """Tell people of money that came back to the gateway after it was booked as given back."""
    booked = session.scalars(
        sa.select(Refund.id).where(
            Refund.charge_id == notice.charge_id,
            Refund.gateway == notice.gateway,
            Refund.state == RefundState.SUCCEEDED,
        )
    ).all()
    if booked:
        log.error("booked_refund_failed", refunds=list(booked), charge=notice.charge_id)


def _compare(session: Session, notice: Notice) -> None:
    kept = session.get_one(WebhookInbox, (notice.gateway, notice.event_id))
    if kept.body_hash != notice.body_hash:
        log.warning("webhook_id_reused", gateway=notice.gateway, id=notice.event_id)
