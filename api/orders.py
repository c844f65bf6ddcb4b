"""Orders over HTTP."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Self

import orjson
from fastapi import APIRouter, Query, Request, Response, status
from pydantic import BaseModel, Field, model_validator

from accounts import users
from accounts.callers import Caller
from accounts.users import UserNotFound
from api.amounts import MinorAmount, ProductId, Quantity
from api.bodies import Body
from api.deps import CurrentCaller, IdempotencyKey, Reads, RowId, Visitor, kept_by, sessions_of
from api.errors import problems
from api.known_first import KnownFirst
from api.paging import Paging
from infra import db, failpoints
from infra.errors import Forbidden
from infra.settings import Settings
from shop import checkout, orders
from shop.checkout import Terms
from shop.orders import OrderStatus
from shop.stock import OutOfStock
from workers.bells import ring, ring_in_time
from workers.events import publish
from workers.payments import settle

router = APIRouter(prefix="/orders", tags=["orders"])
_placing = APIRouter(prefix="/orders", tags=["orders"], route_class=KnownFirst)

MOST_LINES = 100
# Who settles a new order tells of it too; until then, and without a worker for payments, so often.
_TELL_EVERY_S = 0.1


class NotYourself(Forbidden):
    """Customers order for themselves only."""

    code = "not_yourself"

    def __init__(self) -> None:
        super().__init__("user_id: you can only order for yourself. Leave it out.")


class Item(Body):
    """So much of one product."""

    product_id: ProductId
    quantity: Quantity


def add_up(items: Iterable[Item]) -> dict[int, int]:
    """Add up how much of each product these are."""
    wanted: dict[int, int] = {}
    for item in items:
        wanted[item.product_id] = wanted.get(item.product_id, 0) + item.quantity
    return wanted


class OrderIn(Body):
    """What to buy: `items`, or `products` (one of each, repeats add up), or `id` and `quantity`.

    A total is never taken, only compared: `expected_total` or `total_amount`.
    """

    items: Annotated[list[Item], Field(min_length=1, max_length=MOST_LINES)] | None = None
    products: Annotated[list[ProductId], Field(min_length=1, max_length=MOST_LINES)] | None = None
    id: ProductId | None = None
    quantity: Quantity = 1
    user_id: Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)] | None = None
    expected_total: MinorAmount | None = None
    total_amount: MinorAmount | None = None
    payment_token: Annotated[str, Field(pattern="^[A-Za-z0-9_]{1,100}$")] = "tok_visa"  # noqa: S105 - a test card

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        ways = [name for name in ("items", "products", "id") if getattr(self, name) is not None]
        if len(ways) != 1:
            msg = "say what to buy in exactly one of items, products, or id with quantity"
            raise ValueError(msg)
        if "quantity" in self.model_fields_set and self.id is None:
            msg = "quantity belongs to id; in items each has its own"
            raise ValueError(msg)
        if self.expected_total is not None and self.total_amount is not None:
            msg = "give expected_total or total_amount, not both"
            raise ValueError(msg)
        return self

    def quantities(self) -> dict[int, int]:
        """Add up what is wanted of each product."""
        if self.id is not None:
            return {self.id: self.quantity}
        return add_up(self.items or ()) if self.products is None else dict(Counter(self.products))

    def total_minor(self) -> int | None:
        """Tell the total that the client reckons with."""
        return self.total_amount if self.expected_total is None else self.expected_total


class LineOut(BaseModel):
    """One product within an order."""

    product_id: int
    name: str
    quantity: int
    unit_price: float
    unit_fee: float
    line_total: float


class OrderOut(BaseModel):
    """An order as it is now."""

    id: int
    user_id: int
    status: OrderStatus
    currency: str
    subtotal: float
    fee: float
    total: float
    refunded: float
    items: list[LineOut]
    version: int
    created_at: datetime
    updated_at: datetime


@_placing.post(
    "/",
    status_code=status.HTTP_201_CREATED,
    response_model=OrderOut,
    responses=problems(
        checkout.UnknownProduct,
        OutOfStock,
        checkout.PriceChanged,
        checkout.KeyReused,
        checkout.InFlight,
        NotYourself,
        UserNotFound,
    ),
)
def place_order(
    request: Request,
    body: OrderIn,
    visitor: Visitor,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store an order, hold its stock and start its payment; the work goes on after the answer."""
    caller = visitor.identify()
    settings, sessions = kept_by(request).settings, sessions_of(request, caller)
    wish = checkout.Request(
        _buyer(body.user_id, caller, sessions),
        body.quantities(),
        body.total_minor(),
        body.payment_token,
    )
    order = checkout.place(
        sessions, wish, terms=terms_of(settings), idempotency_key=idempotency_key
    )
    failpoints.reach("orders.committed")
    ring(settle)  # after the commit: a worker must be able to read what it is told about
    ring_in_time(publish, most_s=_TELL_EVERY_S)
    return _created(order)


# In front, and put in as it is: a router that is included is searched twice.
router.routes[:0] = _placing.routes


@router.get("/", response_model=list[OrderOut])
def list_orders(
    caller: CurrentCaller,
    reads: Reads,
    page: Paging,
    status: Annotated[OrderStatus | None, Query(description="Only orders in this state.")] = None,
) -> Any:  # noqa: ANN401 - the response model says it
    """List your orders, newest first; operators see everybody's."""
    with reads() as session:
        rows = orders.list_page(
            session,
            user_id=None if caller.is_operator else caller.user_id,
            before_id=page.below,
            limit=page.fetch,
            status=status,
        )
    return page.show(rows, key=lambda row: row["id"])


@router.get("/{order_id}", response_model=OrderOut, responses=problems(orders.OrderNotFound))
def get_order(order_id: RowId, caller: CurrentCaller, reads: Reads) -> dict[str, Any]:
    """Show one of your orders as it is now."""
    with reads() as session:
        return orders.get(session, order_id, user_id=None if caller.is_operator else caller.user_id)


def _created(order: dict[str, Any]) -> Response:
    """Answer with an order as `OrderOut` shows it: the public form of the shop is just that."""
    return Response(
        orjson.dumps(order, option=orjson.OPT_UTC_Z),
        status.HTTP_201_CREATED,
        {"Location": f"/orders/{order['id']}"},
        "application/json",
    )


def _buyer(user_id: int | None, caller: Caller, sessions: db.Sessions) -> int:
    """Tell for whom an order is; admins order for others, who must exist."""
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    if not caller.is_admin:
        raise NotYourself
    with sessions.begin() as session:
        return users.get(session, user_id).id


def terms_of(settings: Settings) -> Terms:
    """Tell on which terms we sell."""
    return Terms(
        settings.currency,
        settings.fee_rate,
        settings.payment_gateway,
        settings.low_stock_threshold,
    )
