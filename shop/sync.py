"""Bring the catalogue in line with the supplier's feed; stock stays ours."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, outbox
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
from infra.errors import AppError
from infra.outbox import Change
from shop import feed, products, stock
from shop.feed import FeedUnusable
from shop.products import Draft, Product

LEASE = timedelta(seconds=60)
_FIELDS = ("name", "price_minor", "currency", "description", "category", "image")


class SyncState(StrEnum):
    """Where a requested sync stands."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class SyncRun(Base):
    """One wish to sync, and what came of it."""

    __tablename__ = "sync_run"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    state: Mapped[str] = mapped_column(binary_string(16), index=True)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    report: Mapped[str | None] = mapped_column(LongText)


class NoFeed(AppError):
    """No feed is configured."""

    code = "no_feed"

    def __init__(self) -> None:
        super().__init__("No product feed is configured: set PUBLIC_PRODUCT_API.")


@dataclass(frozen=True, slots=True)
class Supplier:
    """Where the feed is and what a new product starts with."""

    url: str | None
    currency: str
    default_stock: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did; `reason` says why it changed nothing."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    reason: str | None = None


def request(session: Session) -> int:
    """Ask for a sync; one that is waiting already serves this wish too. Return the run's id."""
    waiting = session.scalar(
        sa.select(SyncRun.id).where(SyncRun.state == SyncState.REQUESTED).limit(1)
    )
    if waiting is not None:
        return waiting
    run = SyncRun(state=SyncState.REQUESTED, requested_at=clock.now(session))
    session.add(run)
    session.flush()
    return run.id


def find_ended(session: Session, run_id: int) -> dict[str, Any] | None:
    """Find what came of a sync; None while it has not ended."""
    run = session.get(SyncRun, run_id)
    return None if run is None or run.ended_at is None else public(run)


def run_requested(sessions: Sessions, supplier: Supplier, *, now: datetime | None = None) -> int:
    """Run the syncs that were asked for, and the first one of an empty catalogue; return how many.

    Safe to repeat: the same feed changes nothing twice, and a run has one holder at a time.
    """
    done = 0
    while (
        run_id := transact(sessions, lambda session: _claim(session, supplier, now))
    ) is not None:
        try:
            report = run_once(sessions, supplier)
        except (FeedUnusable, NoFeed) as error:
            report = Report(reason=error.detail)
        transact(sessions, lambda session: _end(session, run_id, report))  # noqa: B023 - runs at once
        done += 1
    return done


def run_once(sessions: Sessions, supplier: Supplier) -> Report:
    """Fetch the feed, then write what differs in one transaction.

    Raises:
        NoFeed: none is configured.
        FeedUnusable: nothing was changed.
    """
    if supplier.url is None:
        raise NoFeed
    drafts = feed.fetch(supplier.url, currency=supplier.currency)

    def write(session: Session) -> Report:
        return _write(session, drafts, supplier)

    try:
        return transact(sessions, write)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        # Another sync has just created the same products: now they are known.
        return transact(sessions, write)


def public(run: SyncRun) -> dict[str, Any]:
    """Show a sync as the API does."""
    return {
        "id": run.id,
        "status": run.state,
        "requested_at": run.requested_at,
        "ended_at": run.ended_at,
        "report": orjson.loads(run.report) if run.report else None,
    }


def _claim(session: Session, supplier: Supplier, now: datetime | None) -> int | None:
    now = now or clock.now(session)
    lost = sa.and_(SyncRun.state == SyncState.RUNNING, SyncRun.lease_until <= now)
    run = session.scalar(
        sa.select(SyncRun)
        .where(sa.or_(SyncRun.state == SyncState.REQUESTED, lost))
        .order_by(SyncRun.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if run is None and supplier.url is not None and _is_untouched(session):
        run = SyncRun(requested_at=now)
        session.add(run)
    if run is None:
        return None
    run.state, run.lease_until = SyncState.RUNNING, now + LEASE
    session.flush()
    return run.id


def _is_untouched(session: Session) -> bool:
    return products.is_empty(session) and session.scalar(sa.select(SyncRun.id).limit(1)) is None


def _write(session: Session, drafts: Mapping[str, Draft], supplier: Supplier) -> Report:
    now = clock.now(session)
    # By id, as everybody locks products: two that meet wait for each other in one direction only.
    known = session.scalars(
        sa.select(Product)
        .where(Product.external_id.is_not(None))
        .order_by(Product.id)
        .with_for_update()
    ).all()
    on_feed = [product for product in known if product.external_id in drafts]
    if known and len(on_feed) * 2 < len(known):
        missing = len(known) - len(on_feed)
        raise FeedUnusable(f"it lacks {missing} of our {len(known)} products")
    changed = [
        product
        for product in on_feed
        if product.withdrawn_at is None
        and products.apply(product, _values(drafts[product.external_id or ""]), at=now)
    ]
    created = _create(session, drafts, known, supplier, at=now)
    session.flush()
    outbox.record(session, _changes(created, changed))
    return Report(len(created), len(changed), len(on_feed) - len(changed))


def _create(
    session: Session,
    drafts: Mapping[str, Draft],
    known: Sequence[Product],
    supplier: Supplier,
    *,
    at: datetime,
) -> list[Product]:
    ours = {product.external_id for product in known}
    created = [
        Product(external_id=external_id, version=1, created_at=at, updated_at=at, **_values(draft))
        for external_id, draft in drafts.items()
        if external_id not in ours
    ]
    session.add_all(created)
    session.flush()
    if created:
        stock.open_for(session, {product.id: supplier.default_stock for product in created})
    return created


def _changes(created: Sequence[Product], changed: Sequence[Product]) -> list[Change]:
    return [
        *(products.changed("product.created", product) for product in created),
        *(products.changed("product.updated", product) for product in changed),
    ]


def _values(draft: Draft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in _FIELDS}


def _end(session: Session, run_id: int, report: Report) -> None:
    run = session.get_one(SyncRun, run_id)
    run.state = SyncState.DONE if report.reason is None else SyncState.FAILED
    run.ended_at = clock.now(session)
    run.lease_until = None
    run.report = orjson.dumps(asdict(report)).decode()
