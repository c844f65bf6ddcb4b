"""What may still become of an order: cancelled or changed while unpaid; and what became of it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from accounts.callers import Caller
from api.amounts import MinorAmount
from api.bodies import Body
from api.deps import AppSettings, CurrentCaller, Reads, RowId, Sessions
from api.doubt import settled_first
from api.errors import problems
from api.orders import MOST_LINES, Item, LineOut, OrderOut, add_up, terms_of
from api.payments import HeldOut
from api.refunds import RefundOut
from infra import db
from shop import amendment, cancellation, checkout, locks, orders, timeline
from shop.orders import OrderStatus
from shop.payments import AttemptState
from shop.stock import OutOfStock
from workers.bells import ring
from workers.events import publish
from workers.payments import settle

router = APIRouter(prefix="/orders", tags=["orders"])

_CANCEL_PROBLEMS = problems(
    orders.OrderNotFound,
    cancellation.OrderNotCancellable,
    locks.PaymentInProgress,
    locks.PaymentUnknown,
)


class Amendment(Body):
    """What the order is to be about instead; the total is only compared."""

    items: Annotated[list[Item], Field(min_length=1, max_length=MOST_LINES)]
    expected_total: MinorAmount | None = None


class RequestOut(BaseModel):
    """The order as it was accepted."""

    accepted_at: datetime
    user_id: int
    idempotency_key: str | None
    items: list[LineOut] | None
    total: float | None


class AttemptOut(BaseModel):
    """One charge."""

    n: int
    key: str
    state: AttemptState
    reason: str | None
    gateway: str
    charge_id: str | None
    amount: float
    currency: str
    created_at: datetime
    first_sent_at: datetime | None
    updated_at: datetime


class CallOut(BaseModel):
    """One call to the payment gateway."""

    operation: str
    key: str
    outcome: str
    reason: str | None
    started_at: datetime
    duration_ms: int


class EventOut(BaseModel):
    """One event as subscribers saw it."""

    topic: str
    type: str
    subject: str
    version: int
    time: datetime
    data: dict[str, Any]


class RefundStepOut(RefundOut):
    """One refund with its key at the gateway."""

    key: str


class TimelineOut(BaseModel):
    """Everything that happened to an order, each list in the order it happened.

    `reason` says why the newest charge was declined, failed or is in doubt, in the gateway's word.
    """

    order_id: int
    payment_id: int
    status: OrderStatus
    reason: str | None
    held: list[HeldOut]
    request: RequestOut
    attempts: list[AttemptOut]
    refunds: list[RefundStepOut]
    gateway_calls: list[CallOut]
    events: list[EventOut]


@router.post("/{order_id}/cancel", response_model=OrderOut, responses=_CANCEL_PROBLEMS)
def cancel_order(order_id: RowId, caller: CurrentCaller, sessions: Sessions) -> dict[str, Any]:
    """Cancel an order that is not paid and release its stock; a cancelled one stays so."""
    return _cancel(order_id, caller, sessions)


@router.delete("/{order_id}", response_model=OrderOut, responses=_CANCEL_PROBLEMS)
def delete_order(order_id: RowId, caller: CurrentCaller, sessions: Sessions) -> dict[str, Any]:
    """Cancel an order that is not paid; the order itself stays to be read."""
    return _cancel(order_id, caller, sessions)


@router.patch(
    "/{order_id}",
    response_model=OrderOut,
    responses=problems(
        orders.OrderNotFound,
        amendment.OrderNotChangeable,
        locks.PaymentInProgress,
        locks.PaymentUnknown,
        checkout.UnknownProduct,
        checkout.PriceChanged,
        OutOfStock,
    ),
)
def change_order(
    order_id: RowId,
    body: Amendment,
    caller: CurrentCaller,
    sessions: Sessions,
    settings: AppSettings,
) -> dict[str, Any]:
    """Let an order be about other goods, at today's prices, while nobody has begun to charge it."""
    changed = settled_first(
        sessions,
        order_id,
        lambda session: amendment.amend(
            session,
            order_id,
            add_up(body.items),
            user_id=_whose(caller),
            terms=terms_of(settings),
            expected_total_minor=body.expected_total,
        ),
    )
    ring(publish, settle)
    return changed


@router.get(
    "/{order_id}/timeline", response_model=TimelineOut, responses=problems(orders.OrderNotFound)
)
def show_timeline(order_id: RowId, caller: CurrentCaller, reads: Reads) -> dict[str, Any]:
    """Show what happened to one of your orders: request, charges, calls, refunds, events."""
    with reads() as session:
        return timeline.get(session, order_id, user_id=_whose(caller))


def _cancel(order_id: int, caller: Caller, sessions: db.Sessions) -> dict[str, Any]:
    cancelled = settled_first(
        sessions,
        order_id,
        lambda session: cancellation.cancel(session, order_id, user_id=_whose(caller)),
    )
    ring(publish)
    return cancelled


def _whose(caller: Caller) -> int | None:
    return None if caller.is_operator else caller.user_id
