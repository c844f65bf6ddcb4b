"""Syncs with the supplier's feed over HTTP: asked for here, run by a worker, reported here."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, status
from pydantic import BaseModel, Field

from api.bodies import Body
from api.deps import Operator, Reads, RowId, Sessions
from api.errors import problems
from api.paging import BadCursor, Paging
from infra import db
from infra.db import transact
from infra.errors import Forbidden
from shop import sync
from shop.sync import SyncNotFound, SyncState
from shop.sync_report import Action
from workers.bells import ring
from workers.products import sync_products

router = APIRouter(prefix="/products", tags=["products"])

SYNC_WAIT_S = 5.0
_POLL_S = 0.1


class SyncNotAllowed(Forbidden):
    """Only operators may start a sync."""

    code = "sync_not_allowed"

    def __init__(self) -> None:
        super().__init__("Only an operator may sync the catalogue: leave `sync` out.")


class SyncIn(Body):
    """How to sync; a dry run writes nothing but its report."""

    dry_run: Annotated[bool, Field(strict=True)] = False


class Counts(BaseModel):
    """What a sync did, or would do; `reason` says why it changed nothing."""

    created: int
    changed: int
    unchanged: int
    withdrawn: int
    refused: int
    not_modified: bool = Field(description="The feed said that it has not changed.")
    reason: str | None


class FieldChangeOut(BaseModel):
    """One field, what it was and what it becomes; long texts are cut."""

    field: str
    old: Any = Field(alias="from")
    new: Any = Field(alias="to")


class DifferenceOut(BaseModel):
    """What became of one product, or would."""

    action: Action
    external_id: str
    product_id: int | None
    fields: list[FieldChangeOut]


class RefusalOut(BaseModel):
    """An item of the feed that makes no sense, by its place (from 0), and why."""

    position: int
    external_id: str | None
    reason: str


class ReportOut(Counts):
    """The counts, and the first two hundred differences and refusals."""

    changes: list[DifferenceOut] = []
    changes_left_out: int = 0
    refusals: list[RefusalOut] = []
    refusals_left_out: int = 0


class Progress(BaseModel):
    """How many items of the feed have been looked at, and of how many; unknown before the first."""

    done: int
    total: int | None


class SyncRequested(BaseModel):
    """A sync that was asked for; look at it again under `/products/sync/{id}`."""

    id: int
    status: Literal[SyncState.REQUESTED] = SyncState.REQUESTED
    dry_run: bool


class SyncOut(BaseModel):
    """A sync and, once it has ended, what it did."""

    id: int
    status: SyncState
    dry_run: bool
    requested_at: datetime
    ended_at: datetime | None
    progress: Progress
    report: Counts | None


class SyncDetails(SyncOut):
    """A sync and, once it has ended, what it did in detail."""

    report: ReportOut | None


@router.post("/sync", status_code=status.HTTP_202_ACCEPTED)
def start_sync(_caller: Operator, sessions: Sessions, body: SyncIn | None = None) -> SyncRequested:
    """Ask for a sync from the feed; it runs on its own."""
    wish = body or SyncIn()
    run_id = transact(sessions, lambda session: sync.request(session, dry_run=wish.dry_run))
    ring(sync_products)
    return SyncRequested(id=run_id, dry_run=wish.dry_run)


@router.get("/syncs", response_model=list[SyncOut], responses=problems(BadCursor))
def list_syncs(_caller: Operator, reads: Reads, page: Paging) -> Sequence[dict[str, Any]]:
    """List syncs, newest first, with what each counted."""
    with reads() as session:
        rows = sync.list_page(session, below_id=page.below, limit=page.fetch)
    return page.show(rows, key=lambda row: int(row["id"]))


@router.get("/sync/{run_id}", response_model=SyncDetails, responses=problems(SyncNotFound))
def get_sync(run_id: RowId, _caller: Operator, reads: Reads) -> dict[str, Any]:
    """Show a sync, and what it did once it has ended."""
    with reads() as session:
        return sync.get(session, run_id)


def sync_now(sessions: db.Sessions, reads: db.Sessions) -> None:
    """Ask for a sync and wait a little for its end; a longer one goes on by itself."""
    _wait_for(transact(sessions, sync.request), reads)


def fill(sessions: db.Sessions, reads: db.Sessions) -> None:
    """Have an empty catalogue filled, and wait a little for it."""
    run_id = transact(sessions, sync.request_first)
    if run_id is not None:
        _wait_for(run_id, reads)


def _wait_for(run_id: int, reads: db.Sessions) -> None:
    ring(sync_products)
    ends_at = time.monotonic() + SYNC_WAIT_S
    while time.monotonic() < ends_at:
        with reads() as session:
            if sync.get(session, run_id)["ended_at"] is not None:
                return
        time.sleep(_POLL_S)
