"""Reconciliations: one stored report a day, asked for by people or by the day itself."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, trace
from infra.db import Base, LongText, Sessions, UtcDateTime, binary_string, is_duplicate, transact
from infra.errors import Invalid
from infra.jobs import in_hand
from infra.jobs.in_hand import Thing
from infra.logs import log
from shop import comparison
from shop.gateways.protocol import PaymentGateway

LEASE = timedelta(minutes=10)
# A day is over at the gateway a little later than here; then it is compared by itself.
SETTLES_AFTER = timedelta(minutes=30)


class RunState(StrEnum):
    """Where the reconciliation of a day stands."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Reconciliation(Base):
    """The newest comparison of a day (UTC) with the gateway's books."""

    __tablename__ = "reconciliation"

    day: Mapped[date] = mapped_column(sa.Date, primary_key=True)
    state: Mapped[str] = mapped_column(binary_string(16), index=True)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)
    request_id: Mapped[str | None] = mapped_column(
        binary_string(trace.LENGTH), default=trace.request_id
    )
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    report: Mapped[str | None] = mapped_column(LongText)


class DayNotBegun(Invalid):
    """The day lies ahead."""

    code = "day_not_begun"

    def __init__(self, day: date) -> None:
        super().__init__(f"{day} has not begun (UTC): there is nothing to compare.")


@dataclass(frozen=True, slots=True)
class Claim:
    """A day that is ours while its lease holds, and the request that asked for it."""

    day: date
    request_id: str | None


def request(
    sessions: Sessions, day: date, *, anew: bool = False, now: datetime | None = None
) -> datetime | None:
    """Ask for the report of a day, unless a final one is there; return when it was asked for.

    None means that the stored report is final: it was made after the day was over. `anew` asks
    in any case.

    Raises:
        DayNotBegun: the day lies ahead.
    """
    try:
        return transact(sessions, lambda session: _request(session, day, anew=anew, now=now))
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return transact(sessions, lambda session: _request(session, day, anew=anew, now=now))


def find(session: Session, day: date, *, asked_at: datetime | None = None) -> dict[str, Any] | None:
    """Find the report of a day; None while there is none, or none since `asked_at`."""
    run = session.get(Reconciliation, day)
    if run is None or run.ended_at is None or run.report is None:
        return None
    if asked_at is not None and (run.ended_at < asked_at or run.state == RunState.REQUESTED):
        return None
    made: dict[str, Any] = orjson.loads(run.report)
    return {**made, "made_at": run.ended_at, "final": run.ended_at >= _over_at(day)}


def run_requested(
    sessions: Sessions, gateway: PaymentGateway, *, now: datetime | None = None
) -> int:
    """Compare the days that were asked for, and yesterday once it is over; return how many.

    Safe to repeat: comparing changes nothing but the stored report, and has one holder at a time.
    """
    done = 0
    _ask_for_yesterday(sessions, now=now)
    while (claim := transact(sessions, lambda session: _claim(session, now))) is not None:
        comparing = Thing({"day": claim.day.isoformat()}, request_id=claim.request_id)
        in_hand.take_up(comparing)
        compare(sessions, gateway, claim.day, now=now)
        comparing.end()
        done += 1
    return done


def compare(
    sessions: Sessions, gateway: PaymentGateway, day: date, *, now: datetime | None = None
) -> dict[str, Any]:
    """Compare both ledgers for a day, keep the report, and return it."""
    since = _begins_at(day)
    report = comparison.compare(sessions, gateway, since, since + timedelta(days=1))
    made = {"day": day.isoformat(), **report.public()}
    transact(sessions, lambda session: _end(session, day, made, now))
    if not report.agrees:
        log.error("reconciliation_differs", day=str(day), findings=len(report.findings))
    return made


def _request(session: Session, day: date, *, anew: bool, now: datetime | None) -> datetime | None:
    now = now or clock.now(session)
    if _begins_at(day) > now:
        raise DayNotBegun(day)
    run = session.get(Reconciliation, day, with_for_update=True)
    if run is None:
        session.add(Reconciliation(day=day, state=RunState.REQUESTED, requested_at=now))
        return now
    final = run.state == RunState.DONE and run.ended_at and run.ended_at >= _over_at(day)
    if final and not anew:
        return None
    if run.state != RunState.REQUESTED:
        run.state, run.requested_at, run.lease_until = RunState.REQUESTED, now, None
        run.request_id = trace.request_id()
    return run.requested_at


def _ask_for_yesterday(sessions: Sessions, *, now: datetime | None) -> None:
    def ask(session: Session) -> date | None:
        at = now or clock.now(session)
        yesterday = (at - SETTLES_AFTER).date() - timedelta(days=1)
        return None if session.get(Reconciliation, yesterday) else yesterday

    yesterday = transact(sessions, ask)
    if yesterday is not None:
        request(sessions, yesterday, now=now)


def _claim(session: Session, now: datetime | None) -> Claim | None:
    now = now or clock.now(session)
    lost = sa.and_(Reconciliation.state == RunState.RUNNING, Reconciliation.lease_until <= now)
    run = session.scalar(
        sa.select(Reconciliation)
        .where(sa.or_(Reconciliation.state == RunState.REQUESTED, lost))
        .order_by(Reconciliation.requested_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if run is None:
        return None
    run.state, run.lease_until = RunState.RUNNING, now + LEASE
    return Claim(run.day, run.request_id)


def _end(session: Session, day: date, report: dict[str, Any], now: datetime | None) -> None:
    at = now or clock.now(session)
    run = session.get(Reconciliation, day, with_for_update=True)
    if run is None:
        run = Reconciliation(day=day, requested_at=at)
        session.add(run)
    # One that was asked for anew meanwhile stays so: this report does not know what came since.
    if run.state != RunState.REQUESTED:
        run.state, run.lease_until = RunState.DONE, None
    run.ended_at, run.report = at, orjson.dumps(report).decode()


def _begins_at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _over_at(day: date) -> datetime:
    return _begins_at(day) + timedelta(days=1)
