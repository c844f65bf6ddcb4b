"""The catalogue over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response, status
from pydantic import BaseModel, Field

from api import syncs
from api.amounts import MinorAmount, WrittenAmount
from api.bodies import Body, Line, Text
from api.deps import AppSettings, Operator, OptionalCaller, Reads, RowId, Sessions
from api.errors import problems
from api.paging import BadCursor
from api.preconditions import BadPrecondition, ExpectedVersions, KnownTags, etag, names_tag
from api.sorted_pages import SortedPaging
from infra import db
from infra.db import transact
from infra.errors import Invalid
from infra.settings import Settings
from shop import catalogue, products
from shop.catalogue import Filter
from shop.products import Draft
from shop.stock import MOST_ON_HAND
from workers.bells import ring
from workers.events import publish

router = APIRouter(prefix="/products", tags=["products"])

_READ_ANSWERS: dict[int | str, dict[str, Any]] = {
    status.HTTP_304_NOT_MODIFIED: {"description": "You have this version."},
    **problems(products.ProductNotFound),
}
_EDIT_PROBLEMS = problems(
    products.ProductNotFound,
    products.ProductChanged,
    products.QuantityNotEditable,
    BadPrecondition,
)


class PriceRangeReversed(Invalid):
    """The lowest price asked for is above the highest."""

    code = "price_range_reversed"

    def __init__(self) -> None:
        super().__init__(
            "min_price: must not be above max_price.",
            errors=[{"field": "min_price", "message": "must not be above max_price"}],
        )


class ProductIn(Body):
    """A product to put on sale; `quantity` is its first stock."""

    name: Annotated[Line, Field(max_length=300)]
    price: MinorAmount
    quantity: Annotated[int, Field(strict=True, ge=0, le=MOST_ON_HAND)] | None = None
    description: Annotated[Text, Field(max_length=20_000)] = ""
    category: Annotated[Text, Field(max_length=120)] = ""
    image: Annotated[Text, Field(max_length=1000)] = ""


class ProductChange(Body):
    """The fields to change; those left out stay as they are."""

    name: Annotated[Line, Field(max_length=300)] | None = None
    price: MinorAmount | None = None
    quantity: Annotated[int, Field(strict=True, ge=0, le=MOST_ON_HAND)] | None = None
    description: Annotated[Text, Field(max_length=20_000)] | None = None
    category: Annotated[Text, Field(max_length=120)] | None = None
    image: Annotated[Text, Field(max_length=1000)] | None = None
    price_pinned: Annotated[bool, Field(strict=True)] | None = None


class ProductOut(BaseModel):
    """A product on sale; `quantity` is what can still be ordered.

    `version` counts changes of the catalogue's fields, not of the stock. A price that is pinned is
    not touched by a sync.
    """

    id: int
    name: str
    price: float
    currency: str
    quantity: int
    description: str
    category: str
    image: str
    external_id: str | None
    price_pinned: bool
    version: int
    created_at: datetime
    updated_at: datetime


async def _filter(
    q: Annotated[
        Line | None,
        Query(min_length=1, max_length=100, description="A part of the name or description."),
    ] = None,
    category: Annotated[
        str | None, Query(min_length=1, max_length=120, description="As the product has it.")
    ] = None,
    min_price: Annotated[WrittenAmount | None, Query(description="That much or more.")] = None,
    max_price: Annotated[WrittenAmount | None, Query(description="That much or less.")] = None,
    in_stock: Annotated[
        Literal["true", "false"] | None, Query(description="Whether any can be ordered now.")
    ] = None,
) -> Filter:
    if min_price is not None and max_price is not None and min_price > max_price:
        raise PriceRangeReversed
    return Filter(
        q, category, min_price, max_price, None if in_stock is None else in_stock == "true"
    )


@router.get(
    "/",
    response_model=list[ProductOut],
    responses=problems(syncs.SyncNotAllowed, PriceRangeReversed, BadCursor),
)
def list_products(
    caller: OptionalCaller,
    sessions: Sessions,
    reads: Reads,
    page: SortedPaging,
    wanted: Annotated[Filter, Depends(_filter)],
    sync_first: Annotated[  # noqa: FBT002 - a query flag
        bool, Query(alias="sync", description="Sync from the feed first.")
    ] = False,
) -> Any:  # noqa: ANN401 - the response model says it
    """List what is on sale, newest first; an empty catalogue is filled from the feed first."""
    if sync_first and (caller is None or not caller.is_operator):
        raise syncs.SyncNotAllowed
    if sync_first:
        syncs.sync_now(sessions, reads)
    elif _is_empty(reads):
        syncs.fill(sessions, reads)
    with reads() as session:
        rows = catalogue.list_page(
            session, wanted, limit=page.fetch, sort=page.sort, after=page.after
        )
        return [row.public() for row in page.show(rows)]


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
    response.headers["ETag"] = etag(created["version"])
    return created


@router.get("/{product_id}", response_model=ProductOut, responses=_READ_ANSWERS)
def get_product(product_id: RowId, reads: Reads, response: Response, known: KnownTags) -> Any:  # noqa: ANN401 - the response model says it
    """Show one product on sale; the `ETag` speaks of the catalogue's fields, not of the stock."""
    with reads() as session:
        shown = products.get(session, product_id).public()
    tag = etag(shown["version"])
    if known is not None and names_tag(known, tag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return shown


@router.put("/{product_id}", response_model=ProductOut, responses=_EDIT_PROBLEMS)
def replace_product(
    product_id: RowId,
    body: ProductIn,
    _caller: Operator,
    sessions: Sessions,
    settings: AppSettings,
    response: Response,
    versions: ExpectedVersions,
) -> dict[str, Any]:
    """Replace the catalogue fields of a product; stock is changed by stock movements only."""
    fields = _priced(body.model_dump(exclude={"quantity"}), settings)
    edited = _edit(sessions, product_id, fields, body.quantity, versions)
    response.headers["ETag"] = etag(edited["version"])
    return edited


@router.patch("/{product_id}", response_model=ProductOut, responses=_EDIT_PROBLEMS)
def change_product(
    product_id: RowId,
    body: ProductChange,
    _caller: Operator,
    sessions: Sessions,
    settings: AppSettings,
    response: Response,
    versions: ExpectedVersions,
) -> dict[str, Any]:
    """Change some catalogue fields. An edited price of a synced product is pinned by itself."""
    fields = _priced(body.model_dump(exclude={"quantity"}, exclude_none=True), settings)
    edited = _edit(sessions, product_id, fields, body.quantity, versions)
    response.headers["ETag"] = etag(edited["version"])
    return edited


@router.delete(
    "/{product_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(products.ProductNotFound, products.ProductChanged, BadPrecondition),
)
def delete_product(
    product_id: RowId, _caller: Operator, sessions: Sessions, versions: ExpectedVersions
) -> None:
    """Take a product off sale; paid orders of it that are not yet fulfilled are refunded."""
    transact(sessions, lambda session: products.withdraw(session, product_id, versions=versions))
    ring(publish)


def _priced(fields: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Say a price as the shop does: in minor units, of the currency that we sell in now."""
    if "price" not in fields:
        return fields
    price = fields.pop("price")
    return {**fields, "price_minor": price, "currency": settings.currency}


def _edit(
    sessions: db.Sessions,
    product_id: int,
    fields: dict[str, Any],
    quantity: int | None,
    versions: frozenset[int] | None,
) -> dict[str, Any]:
    edited = transact(
        sessions,
        lambda session: products.edit(
            session, product_id, fields, quantity=quantity, versions=versions
        ).public(),
    )
    ring(publish)
    return edited


def _is_empty(reads: db.Sessions) -> bool:
    with reads() as session:
        return products.is_empty(session)
