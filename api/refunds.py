"""Refunds over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, status
from pydantic import BaseModel, Field, model_validator

from api.amounts import MinorAmount
from api.bodies import Body
from api.deps import CurrentCaller, IdempotencyKey, Operator, Reads, RowId, Sessions
from api.doubt import settled_first
from api.errors import problems
from api.orders import MOST_LINES, Item, add_up
from shop import locks, orders, refund_requests
from shop.refund_requests import RefundRequest
from shop.refunds import RefundState
from workers.bells import ring
from workers.events import publish
from workers.refunds import settle as settle_refunds

router = APIRouter(prefix="/orders", tags=["orders"])


class RefundIn(Body):
    """What to give back: `amount`, or all that is left; `items` or `restock` bring goods back.

    `restock` takes back every delivered piece with the last of the money; a part names its `items`.
    """

    amount: Annotated[MinorAmount | None, Field(gt=0)] = None
    reason: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    restock: Annotated[bool | None, Field(strict=True)] = None
    items: Annotated[list[Item], Field(min_length=1, max_length=MOST_LINES)] | None = None

    @model_validator(mode="after")
    def _items_come_back(self) -> Self:
        if self.items is not None and self.restock is False:
            msg = "items come back into stock: leave restock out, or say true"
            raise ValueError(msg)
        return self

    def wanted_by(self, user_id: int) -> RefundRequest:
        """Say it in the shop's words."""
        return RefundRequest(
            requested_by=user_id,
            amount_minor=self.amount,
            reason=self.reason,
            restock=bool(self.restock),
            items=add_up(self.items) if self.items else None,
        )


class RefundOut(BaseModel):
    """A refund as it is now; `held_since` says since when a person must decide about it."""

    id: int
    order_id: int
    user_id: int
    status: RefundState
    amount: float
    currency: str
    reason: str
    restock: list[Item]
    version: int
    created_at: datetime
    updated_at: datetime
    held_since: datetime | None


@router.post(
    "/{order_id}/refunds",
    status_code=status.HTTP_201_CREATED,
    response_model=RefundOut,
    responses=problems(
        orders.OrderNotFound,
        refund_requests.OrderNotPaid,
        refund_requests.RefundTooLarge,
        refund_requests.NotDelivered,
        refund_requests.ItemsNeeded,
        refund_requests.RefundKeyReused,
        locks.PaymentUnknown,
    ),
)
def refund_order(
    order_id: RowId,
    body: RefundIn,
    caller: Operator,
    sessions: Sessions,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Give money back, in full or in part, never more than is left; it is sent after the answer."""
    wanted = body.wanted_by(caller.user_id)
    made = settled_first(
        sessions,
        order_id,
        lambda session: refund_requests.request(
            session, order_id, wanted, idempotency_key=idempotency_key
        ),
    )
    ring(settle_refunds, publish)
    return made


@router.get(
    "/{order_id}/refunds",
    response_model=list[RefundOut],
    responses=problems(orders.OrderNotFound),
)
def list_refunds(order_id: RowId, caller: CurrentCaller, reads: Reads) -> Any:  # noqa: ANN401 - the response model says it
    """List the refunds of one of your orders, newest first."""
    with reads() as session:
        return refund_requests.list_of(
            session, order_id, user_id=None if caller.is_operator else caller.user_id
        )
