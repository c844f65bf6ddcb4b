"""Take over what the supplier offers, a chunk of products to a transaction.

Theirs are name, price (unless it is pinned), currency, description, category and image; stock and
what we withdrew are ours. A chunk is right by itself: product, first stock and events are written
together, so a sync that dies between two chunks is simply run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from shop import products, stock
from shop.feed_items import Offer
from shop.products import Draft, Product
from shop.sync_report import Action, Difference, field_change

CHUNK = 500
_FIELDS = ("name", "price_minor", "currency", "description", "category", "image")
_PINNED = frozenset({"price_minor", "currency"})


def count_missing(session: Session, offers: Sequence[Offer]) -> tuple[int, int]:
    """Count our products from the supplier that are on sale, and those of them not offered."""
    ours = session.scalars(
        sa.select(Product.external_id).where(
            Product.external_id.is_not(None), Product.withdrawn_at.is_(None)
        )
    ).all()
    return len(ours), len(set(ours) - {offer.external_id for offer in offers})


def compare(session: Session, offers: Sequence[Offer]) -> list[Difference]:
    """Tell what taking over a chunk would change."""
    known = _find_known(session, offers)
    return _differences(offers, known)


def apply(session: Session, offers: Sequence[Offer], *, default_stock: int) -> list[Difference]:
    """Take over a chunk; only products that differ are locked, by id as everybody locks them."""
    known = _find_known(session, offers)
    touched = {difference.external_id for difference in _differences(offers, known)}
    if not touched:
        return []
    _lock(session, [known[external_id].id for external_id in touched & known.keys()])
    differing = [offer for offer in offers if offer.external_id in touched]
    differences = _differences(differing, known)
    created = _create(
        session, [offer for offer in differing if offer.external_id not in known], default_stock
    )
    _write(session, differences, {offer.external_id: offer for offer in differing}, known)
    return [
        replace(difference, product_id=difference.product_id or created[difference.external_id])
        for difference in differences
    ]


def _find_known(session: Session, offers: Sequence[Offer]) -> dict[str, Product]:
    rows = session.scalars(
        sa.select(Product)
        .where(Product.external_id.in_([offer.external_id for offer in offers]))
        .execution_options(populate_existing=True)
    )
    return {product.external_id or "": product for product in rows}


def _lock(session: Session, product_ids: Sequence[int]) -> None:
    session.scalars(
        sa.select(Product)
        .where(Product.id.in_(product_ids))
        .order_by(Product.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _differences(offers: Sequence[Offer], known: Mapping[str, Product]) -> list[Difference]:
    found = [_difference(offer, known.get(offer.external_id)) for offer in offers]
    return [difference for difference in found if difference is not None]


def _difference(offer: Offer, product: Product | None) -> Difference | None:
    draft = offer.draft
    if product is None:
        return None if draft is None else _of_new(offer.external_id, draft)
    if product.withdrawn_at is not None:
        return None
    if draft is None:
        return Difference(Action.WITHDRAWN, offer.external_id, product.id)
    changes = [
        field_change(name, getattr(product, name), value)
        for name, value in _theirs(product, draft).items()
        if getattr(product, name) != value
    ]
    return Difference(Action.CHANGED, offer.external_id, product.id, changes) if changes else None


def _of_new(external_id: str, draft: Draft) -> Difference:
    changes = [
        field_change(name, None, getattr(draft, name)) for name in _FIELDS if getattr(draft, name)
    ]
    return Difference(Action.CREATED, external_id, None, changes)


def _theirs(product: Product, draft: Draft) -> dict[str, Any]:
    return {
        name: getattr(draft, name)
        for name in _FIELDS
        if not (product.price_pinned and name in _PINNED)
    }


def _create(session: Session, offers: Sequence[Offer], default_stock: int) -> dict[str, int]:
    """Insert new products in one statement, and open their stock; ids by the supplier's."""
    now = clock.now(session)
    rows = [
        {
            "external_id": offer.external_id,
            "price_pinned": False,
            "version": 1,
            "created_at": now,
            "updated_at": now,
            **{name: getattr(offer.draft, name) for name in _FIELDS},
        }
        for offer in offers
        if offer.draft is not None
    ]
    if not rows:
        return {}
    session.execute(sa.insert(Product.__table__), rows)  # type: ignore[arg-type] # FromClause
    created = _find_known(session, offers)
    in_order = sorted(created.values(), key=lambda product: product.id)
    outbox.record(session, [products.changed("product.created", product) for product in in_order])
    stock.open_for(session, {product.id: default_stock for product in in_order})
    return {external_id: product.id for external_id, product in created.items()}


def _write(
    session: Session,
    differences: Sequence[Difference],
    offers: Mapping[str, Offer],
    known: Mapping[str, Product],
) -> None:
    """Change and withdraw products whose rows are locked."""
    now = clock.now(session)
    written: list[tuple[str, Product]] = []
    for difference in differences:
        product, draft = known.get(difference.external_id), offers[difference.external_id].draft
        if product is None:
            continue
        if draft is None:
            products.take_off_sale(product, at=now)
            written.append(("product.withdrawn", product))
        else:
            products.apply(product, _theirs(product, draft), at=now)
            written.append(("product.updated", product))
    session.flush()
    outbox.record(session, [products.changed(kind, product) for kind, product in written])
