"""The catalogue over HTTP."""

import time
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response, status
from pydantic import BaseModel, Field

from api.amounts import MinorAmount
from api.bodies import Body, Line, Text
from api.deps import AppSettings, Operator, OptionalCaller, Reads, Sessions
from api.errors import problems
from api.paging import Paging
from infra import db
from infra.db import transact
from infra.errors import Forbidden, NotFound
from shop import products, sync
from shop.products import Draft
from workers.bells import ring
from workers.events import publish
from workers.products import sync_products

router = APIRouter(prefix="/products", tags=["products"])

SYNC_WAIT_S = 5.0
_POLL_S = 0.1
ProductId = Annotated[int, Path(ge=1, le=2**63 - 1)]
MOST_STOCK = 1_000_000_000


class SyncNotAllowed(Forbidden):
    """Only operators may start a sync."""

    code = "sync_not_allowed"

    def __init__(self) -> None:
        super().__init__("Only an operator may sync the catalogue: leave `sync` out.")


class SyncNotFound(NotFound):
    """No such sync was asked for, or it has not ended."""

    code = "sync_not_found"

    def __init__(self, run_id: int) -> None:
        super().__init__(f"Sync {run_id} has not ended, or was never asked for.", sync_id=run_id)


class ProductIn(Body):
    """A product to put on sale; `quantity` is its first stock."""

    name: Annotated[Line, Field(max_length=300)]
    price: MinorAmount
    quantity: Annotated[int, Field(strict=True, ge=0, le=MOST_STOCK)] | None = None
    description: Annotated[Text, Field(max_length=20_000)] = ""
    category: Annotated[Text, Field(max_length=120)] = ""
    image: Annotated[Text, Field(max_length=1000)] = ""


class ProductChange(Body):
    """The fields to change; those left out stay as they are."""

    name: Annotated[Line, Field(max_length=300)] | None = None
    price: MinorAmount | None = None
    quantity: Annotated[int, Field(strict=True, ge=0, le=MOST_STOCK)] | None = None
    description: Annotated[Text, Field(max_length=20_000)] | None = None
    category: Annotated[Text, Field(max_length=120)] | None = None
    image: Annotated[Text, Field(max_length=1000)] | None = None


class ProductOut(BaseModel):
    """A product on sale; `quantity` is what can still be ordered."""

    id: int
    name: str
    price: float
    currency: str
    quantity: int
    description: str
    category: str
    image: str
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class SyncOut(BaseModel):
    """A sync that was asked for, and what came of it once it has ended."""

    id: int
    status: sync.SyncState
    requested_at: datetime | None = None
    ended_at: datetime | None = None
    report: dict[str, Any] | None = None


@router.get("/", response_model=list[ProductOut], responses=problems(SyncNotAllowed))
def list_products(
    caller: OptionalCaller,
    sessions: Sessions,
    reads: Reads,
    page: Paging,
    sync_first: Annotated[  # noqa: FBT002 - a query flag
        bool, Query(alias="sync", description="Sync from the feed first.")
    ] = False,
    q: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    category: Annotated[str | None, Query(min_length=1, max_length=120)] = None,
) -> Any:  # noqa: ANN401 - the response model says it
    """List what is on sale, newest first; an empty catalogue is filled from the feed first."""
    if sync_first and (caller is None or not caller.is_operator):
        raise SyncNotAllowed
    if sync_first or _is_empty(reads):
        _sync_now(sessions, reads)
    with reads() as session:
        rows = products.list_page(
            session, below_id=page.below, limit=page.fetch, text=q, category=category
        )
        return page.show([row.public() for row in rows], key=lambda row: int(row["id"]))


@router.post("/", status_code=status.HTTP_201_CREATED, response_model=ProductOut)
def create_product(
    body: ProductIn,
    _caller: Operator,
    sessions: Sessions,
    settings: AppSettings,
    response: Response,
) -> dict[str, Any]:
    """Put a product on sale."""
    draft = Draft(
        body.name, body.price, settings.currency, body.description, body.category, body.image
    )
    quantity = settings.default_stock if body.quantity is None else body.quantity
    created = transact(
        sessions, lambda session: products.create(session, draft, quantity=quantity).public()
    )
    ring(publish)
    response.headers["Location"] = f"/products/{created['id']}"
    return created


@router.post("/sync", status_code=status.HTTP_202_ACCEPTED)
def start_sync(_caller: Operator, sessions: Sessions) -> SyncOut:
    """Ask for a sync from the feed; it runs on its own."""
    run_id = transact(sessions, sync.request)
    ring(sync_products)
    return SyncOut(id=run_id, status=sync.SyncState.REQUESTED)


@router.get("/sync/{run_id}", responses=problems(SyncNotFound))
def get_sync(run_id: ProductId, _caller: Operator, reads: Reads) -> SyncOut:
    """Show what came of a sync."""
    with reads() as session:
        ended = sync.find_ended(session, run_id)
    if ended is None:
        raise SyncNotFound(run_id)
    return SyncOut(**ended)


@router.get(
    "/{product_id}", response_model=ProductOut, responses=problems(products.ProductNotFound)
)
def get_product(product_id: ProductId, reads: Reads) -> dict[str, Any]:
    """Show one product on sale."""
    with reads() as session:
        return products.get(session, product_id).public()


@router.put(
    "/{product_id}",
    response_model=ProductOut,
    responses=problems(products.ProductNotFound, products.QuantityNotEditable),
)
def replace_product(
    product_id: ProductId, body: ProductIn, _caller: Operator, sessions: Sessions
) -> dict[str, Any]:
    """Replace the catalogue fields of a product; stock is changed by stock movements only."""
    return _edit(sessions, product_id, body.model_dump(exclude={"quantity"}), body.quantity)


@router.patch(
    "/{product_id}",
    response_model=ProductOut,
    responses=problems(products.ProductNotFound, products.QuantityNotEditable),
)
def change_product(
    product_id: ProductId, body: ProductChange, _caller: Operator, sessions: Sessions
) -> dict[str, Any]:
    """Change some catalogue fields of a product."""
    fields = body.model_dump(exclude={"quantity"}, exclude_none=True)
    return _edit(sessions, product_id, fields, body.quantity)


@router.delete(
    "/{product_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(products.ProductNotFound),
)
def delete_product(product_id: ProductId, _caller: Operator, sessions: Sessions) -> None:
    """Take a product off sale; paid orders of it that are not yet fulfilled are refunded."""
    transact(sessions, lambda session: products.withdraw(session, product_id))
    ring(publish)


def _edit(
    sessions: db.Sessions, product_id: int, fields: dict[str, Any], quantity: int | None
) -> dict[str, Any]:
    if "price" in fields:
        fields["price_minor"] = fields.pop("price")
    edited = transact(
        sessions,
        lambda session: products.edit(session, product_id, fields, quantity=quantity).public(),
    )
    ring(publish)
    return edited


def _is_empty(reads: db.Sessions) -> bool:
    with reads() as session:
        return products.is_empty(session)


def _sync_now(sessions: db.Sessions, reads: db.Sessions) -> None:
    """Ask for a sync and wait a little for its end; a longer one goes on by itself."""
    run_id = transact(sessions, sync.request)
    ring(sync_products)
    ends_at = time.monotonic() + SYNC_WAIT_S
    while time.monotonic() < ends_at:
        with reads() as session:
            if sync.find_ended(session, run_id) is not None:
                return
        time.sleep(_POLL_S)
