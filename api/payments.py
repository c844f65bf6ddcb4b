"""Payments over HTTP."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, status
from pydantic import BaseModel

from api.deps import CurrentCaller, Operator, Reads, RowId
from api.errors import problems
from shop import held, payments
from shop.held import HeldKind
from shop.payments import AttemptState, PaymentState
from workers.bells import ring
from workers.payments import settle

router = APIRouter(prefix="/payments", tags=["payments"])


class Started(BaseModel):
    """The settlement has been rung."""

    status: str
    due: int


class PaymentOut(BaseModel):
    """The payment of one order, with what is known of its newest charge.

    `reason` says why it was declined or is in doubt; `held_since`, since when a person must decide.
    """

    id: int
    order_id: int
    user_id: int
    gateway: str
    status: PaymentState
    outcome: AttemptState | None
    amount: float
    currency: str
    charge_id: str | None
    reason: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    held_since: datetime | None


class HeldOut(BaseModel):
    """A charge or a refund that no run could find out about: a person must decide."""

    what: HeldKind
    order_id: int
    refund_id: int | None
    key: str
    amount: float
    currency: str
    asked_at: datetime
    held_since: datetime
    reason: str | None


@router.get("/start", status_code=status.HTTP_202_ACCEPTED, deprecated=True)
@router.post("/start", status_code=status.HTTP_202_ACCEPTED)
def start_payments(caller: CurrentCaller, reads: Reads) -> Started:  # noqa: ARG001 - a caller is asked for
    """Ring the settlement of every payment that is due; harmless to repeat."""
    with reads() as session:
        due = payments.count_due(session)
    ring(settle)
    return Started(status="started", due=due)


@router.get("/held", response_model=list[HeldOut])
def list_held(_caller: Operator, reads: Reads) -> list[dict[str, Any]]:
    """List the charges and refunds that wait for a person, the first thousand of each."""
    with reads() as session:
        return [it.public() for it in held.list_all(session)]


@router.get(
    "/{payment_id}", response_model=PaymentOut, responses=problems(payments.PaymentNotFound)
)
def get_payment(payment_id: RowId, caller: CurrentCaller, reads: Reads) -> dict[str, Any]:
    """Show one of your payments as it is now."""
    with reads() as session:
        return payments.show(
            session, payment_id, user_id=None if caller.is_operator else caller.user_id
        )
