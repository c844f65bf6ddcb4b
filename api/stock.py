"""Stock over HTTP: how much there is, and why it changed."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, status
from pydantic import AfterValidator, BaseModel, Field

from api.bodies import Body, Text
from api.deps import AppSettings, IdempotencyKey, Operator, Reads, RowId, Sessions
from api.errors import problems
from api.paging import BadCursor, Paging
from shop import movements, stock
from shop.movements import Movement, Reason
from shop.products import ProductNotFound
from workers.bells import ring
from workers.events import publish

router = APIRouter(prefix="/products", tags=["products"])


def _not_nothing(change: int) -> int:
    if change == 0:
        msg = "must not be 0"
        raise ValueError(msg)
    return change


class MovementIn(Body):
    """What came (above 0) or went (below 0), and why."""

    change: Annotated[
        int,
        Field(strict=True, ge=-stock.MOST_ON_HAND, le=stock.MOST_ON_HAND),
        AfterValidator(_not_nothing),
    ]
    reason: Reason
    note: Annotated[Text, Field(max_length=500)] = ""


class MovementOut(BaseModel):
    """A recorded change of what is on hand; `on_hand` is what there was after it."""

    id: int
    product_id: int
    change: int
    reason: Reason
    note: str
    user_id: int
    on_hand: int
    created_at: datetime


class StockOut(BaseModel):
    """How much there is of a product, and its movements, newest first."""

    product_id: int
    on_hand: int
    reserved: int
    available: int
    version: int
    updated_at: datetime
    movements: list[MovementOut]


@router.post(
    "/{product_id}/stock",
    status_code=status.HTTP_201_CREATED,
    response_model=MovementOut,
    responses=problems(
        ProductNotFound, stock.StockReserved, stock.StockTooLarge, movements.MovementKeyReused
    ),
)
def move_stock(
    product_id: RowId,
    body: MovementIn,
    caller: Operator,
    sessions: Sessions,
    settings: AppSettings,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Record a delivery, a correction, damage or a return. What orders hold cannot be taken."""
    recorded = movements.record(
        sessions,
        Movement(product_id, body.change, body.reason, caller.user_id, body.note),
        low_at=settings.low_stock_threshold,
        idempotency_key=idempotency_key,
    )
    ring(publish)
    return recorded


@router.get(
    "/{product_id}/stock",
    response_model=StockOut,
    responses=problems(ProductNotFound, BadCursor),
)
def get_stock(product_id: RowId, _caller: Operator, reads: Reads, page: Paging) -> dict[str, Any]:
    """Show what is on hand, reserved and available, and the newest movements."""
    with reads() as session:
        level = movements.get_level(
            session, product_id, below_id=page.below, limit=page.fetch
        ).public()
    shown = page.show(level["movements"], key=lambda movement: int(movement["id"]))
    return {**level, "movements": shown}
