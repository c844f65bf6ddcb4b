"""Syncs with the supplier's feed: asked for or due, run by one worker at a time, reported."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, undefer

from infra import clock, failpoints, trace
from infra.db import (
    Base,
    BigId,
    LongText,
    Sessions,
    UtcDateTime,
    binary_string,
    is_duplicate,
    transact,
)
from infra.errors import AppError, NotFound
from infra.jobs import in_hand
from infra.jobs.in_hand import Thing
from shop import feed, feed_state, products, takeover
from shop.feed import Feed, FeedUnusable
from shop.feed_items import Offer
from shop.feed_state import Known, Validators
from shop.products import Product
from shop.sync_report import Difference, Report, Tally

LEASE = timedelta(seconds=60)
FIRST_AGAIN_AFTER = timedelta(seconds=30)


class SyncState(StrEnum):
    """Where a requested sync stands."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class SyncRun(Base):
    """One wish to sync, and what came of it; `report` counts, `details` lists."""

    __tablename__ = "sync_run"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    state: Mapped[str] = mapped_column(binary_string(16), index=True)
    dry_run: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)
    request_id: Mapped[str | None] = mapped_column(
        binary_string(trace.LENGTH), default=trace.request_id
    )
    items_done: Mapped[int] = mapped_column(sa.Integer, default=0, server_default="0")
    items_total: Mapped[int | None] = mapped_column(sa.Integer)
    lease_token: Mapped[str | None] = mapped_column(binary_string(36))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    report: Mapped[str | None] = mapped_column(LongText)
    details: Mapped[str | None] = mapped_column(LongText, deferred=True)


class NoFeed(AppError):
    """No feed is configured."""

    code = "no_feed"

    def __init__(self) -> None:
        super().__init__("No product feed is configured: set PUBLIC_PRODUCT_API.")


class SyncNotFound(NotFound):
    """No such sync was asked for."""

    code = "sync_not_found"

    def __init__(self, run_id: int) -> None:
        super().__init__(f"There is no sync {run_id}.", sync_id=run_id)


class Superseded(AppError):
    """The lease ended, and another worker has taken the run over."""

    code = "sync_superseded"


@dataclass(frozen=True, slots=True)
class Supplier:
    """Where the feed is, what a new product starts with, and how often to sync unasked.

    Only the stand-in may stand on this machine or network.
    """

    url: str | None
    currency: str
    default_stock: int
    is_stand_in: bool = False
    every: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that is ours while its lease holds; nobody's if there is no row behind it."""

    run_id: int | None = None
    token: str = ""
    dry_run: bool = False
    request_id: str | None = None


_NOBODYS = Claim()


def request(session: Session, *, dry_run: bool = False) -> int:
    """Ask for a sync; one that is waiting already serves this wish too. Return the run's id.

    A dry run writes only its report.
    """
    waiting = session.scalar(
        sa.select(SyncRun.id)
        .where(SyncRun.state == SyncState.REQUESTED, SyncRun.dry_run == dry_run)
        .limit(1)
    )
    if waiting is not None:
        return waiting
    run = SyncRun(state=SyncState.REQUESTED, dry_run=dry_run, requested_at=clock.now(session))
    session.add(run)
    session.flush()
    return run.id


def request_first(session: Session) -> int | None:
    """Ask for the first sync of an empty catalogue; None if one has just ended without success.

    Anybody may cause it by looking, so a feed that is down is not asked at everybody's look.
    """
    last = session.scalar(
        sa.select(SyncRun).where(SyncRun.dry_run.is_(False)).order_by(SyncRun.id.desc()).limit(1)
    )
    if last is None or last.ended_at is None:
        return request(session) if last is None else last.id
    return request(session) if clock.now(session) - last.ended_at >= FIRST_AGAIN_AFTER else None


def get(session: Session, run_id: int) -> dict[str, Any]:
    """Read a sync with all of its report.

    Raises:
        SyncNotFound: nobody asked for it.
    """
    run = session.get(SyncRun, run_id, options=[undefer(SyncRun.details)])
    if run is None:
        raise SyncNotFound(run_id)
    shown = public(run)
    if run.details:
        shown["report"] |= orjson.loads(run.details)
    return shown


def list_page(
    session: Session, *, below_id: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """List syncs, newest first, from below `below_id` on; their reports only count."""
    query = sa.select(SyncRun).order_by(SyncRun.id.desc()).limit(limit)
    if below_id is not None:
        query = query.where(SyncRun.id < below_id)
    return [public(run) for run in session.scalars(query)]


def run_requested(sessions: Sessions, supplier: Supplier, *, now: datetime | None = None) -> int:
    """Run the syncs that were asked for or are due; return how many.

    Safe to repeat: the same feed changes nothing twice, and one worker runs at a time.
    """
    done = 0
    while claim := transact(sessions, lambda session: _claim(session, supplier, now)):
        syncing = Thing(
            {"sync_id": claim.run_id, "dry_run": claim.dry_run}, request_id=claim.request_id
        )
        in_hand.take_up(syncing)
        try:
            report = run_once(sessions, supplier, claim)
        except (FeedUnusable, NoFeed) as error:
            report = Report(reason=error.detail)
        except Superseded as error:
            syncing.end(error.detail)
            return done
        transact(sessions, lambda session: _end(session, claim, report))  # noqa: B023 - runs at once
        syncing.end(report.reason)
        done += 1
    return done


def run_once(sessions: Sessions, supplier: Supplier, claim: Claim = _NOBODYS) -> Report:
    """Fetch the feed if it has changed, then take it over chunk by chunk, or only compare.

    Raises:
        NoFeed: none is configured.
        FeedUnusable: nothing was changed.
        Superseded: another worker has taken over.
    """
    url, currency = supplier.url, supplier.currency
    if url is None:
        raise NoFeed
    known = transact(
        sessions, lambda session: feed_state.recall(session, url=url, currency=currency)
    )
    fetched = feed.fetch(
        url,
        currency=currency,
        known=Validators() if claim.dry_run else known.validators,
        is_stand_in=supplier.is_stand_in,
    )
    if fetched is None:
        return Report(unchanged=transact(sessions, _count_synced), not_modified=True)
    _refuse_shrunken(sessions, fetched)
    if claim.dry_run:
        return _take_over(sessions, fetched, supplier, claim)
    # Until all is taken over, an answer of before says nothing about what the catalogue holds.
    _remember(sessions, known, Validators(), claim)
    report = _take_over(sessions, fetched, supplier, claim)
    if not fetched.refusals:
        _remember(sessions, known, fetched.validators, claim)
    return report


def public(run: SyncRun) -> dict[str, Any]:
    """Show a sync as the API does, without the details of its report."""
    return {
        "id": run.id,
        "status": run.state,
        "dry_run": run.dry_run,
        "requested_at": run.requested_at,
        "ended_at": run.ended_at,
        "progress": {"done": run.items_done, "total": run.items_total},
        "report": orjson.loads(run.report) if run.report else None,
    }


def _claim(session: Session, supplier: Supplier, now: datetime | None) -> Claim | None:
    now = now or clock.now(session)
    runs = session.scalars(
        sa.select(SyncRun)
        .where(SyncRun.state.in_([SyncState.REQUESTED, SyncState.RUNNING]))
        .order_by(SyncRun.id)
        .with_for_update()
    ).all()
    if any(run.lease_until is not None and run.lease_until > now for run in runs):
        return None  # two at once would write what each has read, the older perhaps last
    run = runs[0] if runs else _due(session, supplier, now)
    if run is None:
        return None
    run.state, run.lease_until, run.lease_token = SyncState.RUNNING, now + LEASE, str(uuid.uuid4())
    session.flush()
    return Claim(run.id, run.lease_token, run.dry_run, run.request_id)


def _due(session: Session, supplier: Supplier, now: datetime) -> SyncRun | None:
    """Begin a sync that nobody asked for: the first from this address, or the next in time."""
    if supplier.url is None:
        return None
    feed = {"url": supplier.url, "currency": supplier.currency}
    is_new = supplier.every is not None and feed_state.is_new(session, **feed)
    if not is_new and not _is_due(session, supplier, now):
        return None
    # Whoever finds the same at the same time waits here, and then finds this one.
    is_new = feed_state.recall(session, **feed).is_new and is_new
    if not is_new and not _is_due(session, supplier, now):
        return None
    run = SyncRun(requested_at=now, dry_run=False)
    session.add(run)
    return run


def _is_due(session: Session, supplier: Supplier, now: datetime) -> bool:
    last = session.scalar(
        sa.select(SyncRun.requested_at)
        .where(SyncRun.dry_run.is_(False))
        .order_by(SyncRun.id.desc())
        .limit(1)
    )
    if last is None:
        return supplier.every is not None or products.is_empty(session)
    return supplier.every is not None and now - last >= supplier.every


def _refuse_shrunken(sessions: Sessions, fetched: Feed) -> None:
    ours, missing = transact(
        sessions, lambda session: takeover.count_missing(session, fetched.offers)
    )
    if missing * 2 > ours:
        raise FeedUnusable(f"it lacks {missing} of our {ours} products")


def _take_over(sessions: Sessions, fetched: Feed, supplier: Supplier, claim: Claim) -> Report:
    tally = Tally(fetched.refusals)
    for start in range(0, len(fetched.offers), takeover.CHUNK):
        chunk = fetched.offers[start : start + takeover.CHUNK]
        far = {"items_done": start + len(chunk), "items_total": len(fetched.offers)}
        tally.add(_take_chunk(sessions, chunk, supplier, claim, far), looked_at=len(chunk))
        failpoints.reach("products.chunk_taken")
    return tally.report()


def _take_chunk(
    sessions: Sessions,
    chunk: Sequence[Offer],
    supplier: Supplier,
    claim: Claim,
    far: Mapping[str, int],
) -> list[Difference]:
    def take(session: Session) -> list[Difference]:
        _keep(session, claim, **far)
        if claim.dry_run:
            return takeover.compare(session, chunk)
        return takeover.apply(session, chunk, default_stock=supplier.default_stock)

    try:
        return transact(sessions, take)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        # Somebody has just created the same products: now they are known.
        return transact(sessions, take)


def _remember(sessions: Sessions, known: Known, answered: Validators, claim: Claim) -> None:
    def write(session: Session) -> None:
        _keep(session, claim)
        feed_state.remember(session, known, answered)

    transact(sessions, write)


def _keep(session: Session, claim: Claim, **far: int) -> None:
    """Prolong the lease in the transaction of a chunk: who has lost it writes nothing more.

    `far` says how far the run has come with it.

    Raises:
        Superseded: it is another's.
    """
    if claim.run_id is None:
        return
    kept = session.execute(
        sa.update(SyncRun)
        .where(SyncRun.id == claim.run_id, SyncRun.lease_token == claim.token)
        .values(lease_until=clock.now(session) + LEASE, **far)
        .execution_options(synchronize_session=False)
    )
    if kept.rowcount != 1:  # type: ignore[attr-defined] # an UPDATE has one
        raise Superseded(f"Sync {claim.run_id} was taken over by another worker.")


def _count_synced(session: Session) -> int:
    query = sa.select(sa.func.count()).where(Product.external_id.is_not(None))
    return session.scalar(query) or 0


def _end(session: Session, claim: Claim, report: Report) -> None:
    run = session.scalar(
        sa.select(SyncRun)
        .where(SyncRun.id == claim.run_id, SyncRun.lease_token == claim.token)
        .with_for_update()
    )
    if run is None:
        return
    run.state = SyncState.DONE if report.reason is None else SyncState.FAILED
    run.ended_at = clock.now(session)
    run.lease_until = run.lease_token = None
    run.report = orjson.dumps(report.public()).decode()
    run.details = orjson.dumps(report.public_details()).decode()
