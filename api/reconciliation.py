"""Reconciliation over HTTP: what our books and the gateway's say about a day."""

import time
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, status
from pydantic import BaseModel

from api.deps import Operator, Reads, Sessions
from api.errors import problems
from infra import db
from shop import reconciliation
from shop.comparison import Difference
from workers.bells import ring
from workers.reconciliation import reconcile

router = APIRouter(prefix="/payments", tags=["payments"])
_WAIT_S = 5.0
_LOOK_EVERY_S = 0.1
_RETRY_AFTER_S = "5"


class SumsOut(BaseModel):
    """What one side moved on the day, in one currency."""

    charges: int
    charged: float
    refunds: int
    refunded: float


class FindingOut(BaseModel):
    """One difference between the books."""

    kind: Difference
    what: str
    currency: str
    ours: float | None
    theirs: float | None
    key: str | None
    gateway_id: str | None
    order_id: int | None
    proposal: str | None


class ReportOut(BaseModel):
    """The comparison of a day (UTC); one made before the day was over is not final."""

    day: date
    gateway: str
    agrees: bool
    final: bool
    made_at: datetime
    ours: dict[str, SumsOut]
    theirs: dict[str, SumsOut]
    findings_total: int
    findings: list[FindingOut]


class UnderWay(BaseModel):
    """The comparison has been asked for."""

    day: date
    status: str


@router.get(
    "/reconciliation",
    response_model=ReportOut | UnderWay,
    responses={
        **problems(reconciliation.DayNotBegun),
        status.HTTP_202_ACCEPTED: {
            "description": "The report is being made: ask `Location` again.",
            "model": UnderWay,
        },
    },
)
def show_reconciliation(
    _caller: Operator,
    sessions: Sessions,
    reads: Reads,
    response: Response,
    day: Annotated[date | None, Query(description="A day (UTC); today if left out.")] = None,
    anew: Annotated[  # noqa: FBT002 - a query flag
        bool, Query(description="Compare again also where a final report is stored.")
    ] = False,
) -> Any:  # noqa: ANN401 - the response model says it
    """Show how our ledger and the gateway's agree on a day, both ways, with sums by currency."""
    wanted = day or datetime.now(UTC).date()
    asked_at = reconciliation.request(sessions, wanted, anew=anew)
    if asked_at is not None:
        ring(reconcile)
    report = _wait_for(reads, wanted, asked_at)
    if report is not None:
        return report
    response.status_code = status.HTTP_202_ACCEPTED
    response.headers["Location"] = f"/payments/reconciliation?day={wanted}"
    response.headers["Retry-After"] = _RETRY_AFTER_S
    return UnderWay(day=wanted, status="requested")


def _wait_for(reads: db.Sessions, day: date, asked_at: datetime | None) -> dict[str, Any] | None:
    ends_at = time.monotonic() + _WAIT_S
    while True:
        with reads() as session:
            report = reconciliation.find(session, day, asked_at=asked_at)
        if report is not None or time.monotonic() > ends_at:
            return report
        time.sleep(_LOOK_EVERY_S)
