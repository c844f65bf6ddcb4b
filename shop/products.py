"""The catalogue: what is sold, at which price. Stock is an aggregate of its own."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, outbox
from infra.db import Base, BigId, LongText, UtcDateTime, binary_string
from infra.errors import Invalid, NotFound, PreconditionFailed
from infra.outbox import Change
from shop import feed_state, money, stock
from shop.events import PRODUCTS
from shop.payloads import ProductData
from shop.stock import Stock


class Product(Base):
    """One thing on sale; a withdrawn one stays, because orders refer to it."""

    __tablename__ = "product"
    # One for each order of the list; all begin with what every list asks for.
    __table_args__ = (
        sa.Index(None, "withdrawn_at", "id"),
        sa.Index(None, "withdrawn_at", "price_minor", "id"),
        sa.Index(None, "withdrawn_at", "name", "id"),
        sa.Index(None, "withdrawn_at", "category", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    external_id: Mapped[str | None] = mapped_column(binary_string(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(300))
    description: Mapped[str] = mapped_column(LongText)
    category: Mapped[str] = mapped_column(sa.String(120))
    image: Mapped[str] = mapped_column(sa.String(1000))
    price_minor: Mapped[int] = mapped_column(sa.BigInteger)
    price_pinned: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    currency: Mapped[str] = mapped_column(sa.CHAR(3))
    version: Mapped[int] = mapped_column(sa.BigInteger)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProductNotFound(NotFound):
    """No such product is on sale."""

    code = "product_not_found"

    def __init__(self, product_id: int) -> None:
        super().__init__(f"There is no product {product_id}.", product_id=product_id)


class QuantityNotEditable(Invalid):
    """Stock is moved with a reason, not overwritten."""

    code = "quantity_not_editable"

    def __init__(self, product_id: int, available: int) -> None:
        super().__init__(
            f"Stock is not changed by editing a product (it is {available} now): "
            f"use POST /products/{product_id}/stock.",
            quantity=available,
        )


class ProductChanged(PreconditionFailed):
    """The product is no longer as the caller has seen it."""

    code = "precondition_failed"

    def __init__(self, product: Product) -> None:
        super().__init__(
            f"Product {product.id} has changed meanwhile: it is at version {product.version}. "
            "Read it again.",
            product_id=product.id,
            version=product.version,
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """The catalogue fields of a product."""

    name: str
    price_minor: int
    currency: str
    description: str = ""
    category: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A product with what can still be ordered of it."""

    product: Product
    stock: Stock

    def public(self) -> dict[str, Any]:
        """Show it as the API does."""
        return {**public(self.product), "quantity": self.stock.available}


def create(session: Session, draft: Draft, *, quantity: int) -> Listed:
    """Put a product on sale with its first stock."""
    now = clock.now(session)
    product = Product(
        external_id=None,
        price_pinned=False,
        version=1,
        withdrawn_at=None,
        created_at=now,
        updated_at=now,
        **_fields(draft),
    )
    session.add(product)
    session.flush()
    held = stock.open_for(session, {product.id: quantity})[product.id]
    outbox.record(session, [changed("product.created", product)])
    return Listed(product, held)


def get(session: Session, product_id: int) -> Listed:
    """Read a product on sale.

    Raises:
        ProductNotFound: it does not exist or was withdrawn.
    """
    row = session.execute(on_sale().where(Product.id == product_id)).one_or_none()
    if row is None:
        raise ProductNotFound(product_id)
    return Listed(*row)


def is_empty(session: Session) -> bool:
    """Tell whether there has never been a product."""
    return session.scalar(sa.select(Product.id).limit(1)) is None


def edit(
    session: Session,
    product_id: int,
    changes: dict[str, Any],
    *,
    quantity: int | None = None,
    versions: Collection[int] | None = None,
) -> Listed:
    """Change catalogue fields of a product; the same values change nothing.

    `changes` has `Draft`'s names and `price_pinned`; an edited price of a supplier's product is
    pinned unless they say otherwise. With `versions`, the product must be at one of them.

    Raises:
        ProductNotFound: it does not exist or was withdrawn.
        ProductChanged: it is at another version.
        QuantityNotEditable: `quantity` differs from what can be ordered now.
    """
    product = lock(session, product_id, versions=versions)
    held = session.get_one(Stock, product_id)
    if quantity is not None and quantity != held.available:
        raise QuantityNotEditable(product_id, held.available)
    if apply(product, _with_pin(product, changes), at=clock.now(session)):
        if product.external_id is not None:
            feed_state.forget(session)
        session.flush()
        outbox.record(session, [changed("product.updated", product)])
    return Listed(product, held)


def withdraw(session: Session, product_id: int, *, versions: Collection[int] | None = None) -> None:
    """Take a product off sale; orders that are paid and not yet fulfilled will be refunded.

    Raises:
        ProductNotFound: it does not exist or was withdrawn before.
        ProductChanged: it is at none of `versions`.
    """
    product = lock(session, product_id, versions=versions)
    take_off_sale(product, at=clock.now(session))
    session.flush()
    outbox.record(session, [changed("product.withdrawn", product)])


def lock(session: Session, product_id: int, *, versions: Collection[int] | None = None) -> Product:
    """Take a product's row lock.

    Raises:
        ProductNotFound: it does not exist or was withdrawn.
        ProductChanged: it is at none of `versions`.
    """
    product = session.get(Product, product_id, with_for_update=True)
    if product is None or product.withdrawn_at is not None:
        raise ProductNotFound(product_id)
    if versions is not None and product.version not in versions:
        raise ProductChanged(product)
    return product


def take_off_sale(product: Product, *, at: datetime) -> None:
    """Withdraw a locked product."""
    product.withdrawn_at = product.updated_at = at
    product.version += 1


def apply(product: Product, changes: dict[str, Any], *, at: datetime) -> bool:
    """Set those fields of a locked product that differ; True if any did."""
    different = {name: value for name, value in changes.items() if getattr(product, name) != value}
    for name, value in different.items():
        setattr(product, name, value)
    if different:
        product.version += 1
        product.updated_at = at
    return bool(different)


def changed(kind: str, product: Product) -> Change:
    """Tell subscribers of a change to a product."""
    return Change(PRODUCTS, kind, f"products/{product.id}", product.version, public(product))


def public(product: Product) -> dict[str, Any]:
    """Show a product's catalogue fields as subscribers see them."""
    shown: ProductData = {
        "id": product.id,
        "name": product.name,
        "price": money.to_number(product.price_minor),
        "currency": product.currency,
        "description": product.description,
        "category": product.category,
        "image": product.image,
        "external_id": product.external_id,
        "price_pinned": product.price_pinned,
        "withdrawn": product.withdrawn_at is not None,
        "version": product.version,
        "created_at": product.created_at,
        "updated_at": product.updated_at,
    }
    return cast("dict[str, Any]", shown)


def on_sale() -> sa.Select[Product, Stock]:
    """Select products on sale with their stock."""
    return (
        sa.select(Product, Stock)
        .join(Stock, Stock.product_id == Product.id)
        .where(Product.withdrawn_at.is_(None))
    )


def _with_pin(product: Product, changes: dict[str, Any]) -> dict[str, Any]:
    """Keep the supplier from undoing an edit of the price."""
    price = changes.get("price_minor", product.price_minor)
    if product.external_id is None or "price_pinned" in changes or price == product.price_minor:
        return changes
    return {**changes, "price_pinned": True}


def _fields(draft: Draft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in Draft.__slots__}
