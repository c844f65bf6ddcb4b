"""The list of what is on sale: filtered, in one of four orders, read page by page."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from shop import products
from shop.products import Listed, Product
from shop.stock import Stock


class Sort(StrEnum):
    """In which order; products that are alike in it come in the order of their ids."""

    NEWEST = "newest"
    CHEAPEST = "price"
    DEAREST = "-price"
    NAME = "name"


_COLUMNS: dict[Sort, InstrumentedAttribute[Any]] = {
    Sort.CHEAPEST: Product.price_minor,
    Sort.DEAREST: Product.price_minor,
    Sort.NAME: Product.name,
}
# MariaDB would rather intersect two indexes, and read a whole category for its first page.
_BY_CATEGORY = "FORCE INDEX (ix_product_withdrawn_at_category_id)"
_DESCENDING = frozenset({Sort.NEWEST, Sort.DEAREST})


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page ended: the last product's id, and its price or name if the order is by that."""

    product_id: int
    value: int | str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """What is looked for; amounts are minor units, and both ends count."""

    text: str | None = None
    category: str | None = None
    min_price_minor: int | None = None
    max_price_minor: int | None = None
    in_stock: bool | None = None


def list_page(
    session: Session,
    wanted: Filter = Filter(),
    *,
    limit: int,
    sort: Sort = Sort.NEWEST,
    after: Mark | None = None,
) -> list[Listed]:
    """List products on sale, from behind `after` on."""
    query = _filtered(products.on_sale(), wanted)
    column = _COLUMNS.get(sort)
    descending = sort in _DESCENDING
    if after is not None:
        query = query.where(_behind(after, column, descending=descending))
    keys = [key for key in (column, Product.id) if key is not None]
    query = query.order_by(*(key.desc() if descending else key for key in keys)).limit(limit)
    if wanted.category is not None and column is None:
        query = query.with_hint(Product, _BY_CATEGORY)
    return [Listed(*row) for row in session.execute(query)]


def mark(listed: Listed, sort: Sort) -> Mark:
    """Tell where a page ends whose last row this is."""
    column = _COLUMNS.get(sort)
    value = None if column is None else getattr(listed.product, column.key)
    return Mark(listed.product.id, value)


def _filtered(query: sa.Select[Product, Stock], wanted: Filter) -> sa.Select[Product, Stock]:
    if wanted.text is not None:
        query = query.where(
            sa.or_(
                Product.name.icontains(wanted.text, autoescape=True),
                Product.description.icontains(wanted.text, autoescape=True),
            )
        )
    if wanted.category is not None:
        query = query.where(Product.category == wanted.category)
    if wanted.min_price_minor is not None:
        query = query.where(Product.price_minor >= wanted.min_price_minor)
    if wanted.max_price_minor is not None:
        query = query.where(Product.price_minor <= wanted.max_price_minor)
    if wanted.in_stock is not None:
        available = Stock.on_hand > Stock.reserved
        query = query.where(available if wanted.in_stock else sa.not_(available))
    return query


def _behind(
    after: Mark, column: InstrumentedAttribute[Any] | None, *, descending: bool
) -> sa.ColumnElement[bool]:
    behind_id = Product.id < after.product_id if descending else Product.id > after.product_id
    if column is None:
        return behind_id
    # The first comparison is what the index can use as a range; the others cut off its beginning.
    if descending:
        return sa.and_(column <= after.value, sa.or_(column < after.value, behind_id))
    return sa.and_(column >= after.value, sa.or_(column > after.value, behind_id))
