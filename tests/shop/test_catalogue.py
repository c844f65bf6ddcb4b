"""The list of what is on sale: its filters, its orders, and pages without a gap or a repeat."""

from typing import Any

import pytest

from infra.db import transact
from shop import catalogue, products
from shop.catalogue import Filter, Sort
from shop.products import Draft, Listed, ProductChanged
from tests.shop.stage import Shop

# Two of each price and two of one name, so that ties are there to be broken.
WARES = (
    ("Lamp", 500, "home"),
    ("chair", 300, "home"),
    ("Lamp", 300, "garden"),
    ("Bag", 900, "bags"),
    ("Spade", 900, "garden"),
)
EVERYTHING = Filter()
EXPECTED = {
    Sort.NEWEST: [4, 3, 2, 1, 0],
    Sort.CHEAPEST: [1, 2, 0, 3, 4],
    Sort.DEAREST: [4, 3, 0, 2, 1],
}


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("sort", Sort)
def test_pages_of_every_order_hold_each_product_once(shop: Shop, sort: Sort, limit: int) -> None:
    made = _stock_up(shop)

    seen = _read_all(shop, sort, limit)

    assert sorted(seen) == sorted(made)
    if sort is Sort.NAME:
        assert _names(shop, seen) in (
            ["Bag", "chair", "Lamp", "Lamp", "Spade"],  # MySQL's collation
            ["Bag", "Lamp", "Lamp", "Spade", "chair"],  # SQLite's
        )
    else:
        assert seen == [made[n] for n in EXPECTED[sort]]


@pytest.mark.parametrize("sort", Sort)
def test_a_page_begins_behind_the_last_one_even_if_its_end_is_gone(shop: Shop, sort: Sort) -> None:
    made = _stock_up(shop)
    first = _page(shop, sort=sort, limit=2)
    shop.withdraw(first[-1].product.id)

    rest = _page(shop, sort=sort, limit=10, after=catalogue.mark(first[-1], sort))

    assert {row.product.id for row in [*first, *rest]} == set(made)
    assert len(rest) == 3


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Filter(text="WARM"), {"Lamp"}),
        (Filter(category="home"), {"Lamp", "chair"}),
        (Filter(min_price_minor=500), {"Lamp", "Bag", "Spade"}),
        (Filter(max_price_minor=300), {"chair", "Lamp"}),
        (Filter(min_price_minor=300, max_price_minor=300, category="garden"), {"Lamp"}),
        (Filter(min_price_minor=901), set()),
        (Filter(in_stock=False), {"Bag"}),
        (Filter(in_stock=True, category="bags"), set()),
    ],
)
def test_products_are_filtered(shop: Shop, wanted: Filter, names: set[str]) -> None:
    made = _stock_up(shop)
    _edit(shop, made[0], {"description": "It is warm."})
    shop.place({made[3]: 10})

    found = {row.product.name for row in _page(shop, wanted=wanted, limit=10)}

    assert found == names


def test_an_edit_of_another_version_is_refused(shop: Shop) -> None:
    product = shop.sell()
    _edit(shop, product, {"name": "Lamp"}, versions={1})
    before = shop.snapshot()

    with pytest.raises(ProductChanged) as refused:
        _edit(shop, product, {"name": "Desk"}, versions={1})

    assert refused.value.extra == {"product_id": product, "version": 2}
    assert shop.snapshot() == before


def test_stock_does_not_change_the_version(shop: Shop) -> None:
    product = shop.sell()
    shop.paid({product: 3})
    shop.fulfil()

    edited = _edit(shop, product, {"name": "Lamp"}, versions={1})

    assert edited.product.version == 2


def _stock_up(shop: Shop) -> list[int]:
    def create(name: str, price_minor: int, category: str) -> int:
        draft = Draft(name, price_minor, "USD", category=category)
        return transact(
            shop.database.sessions,
            lambda session: products.create(session, draft, quantity=10).product.id,
        )

    return [create(*ware) for ware in WARES]


def _read_all(shop: Shop, sort: Sort, limit: int) -> list[int]:
    seen: list[int] = []
    mark = None
    while page := _page(shop, sort=sort, limit=limit, after=mark):
        seen += [row.product.id for row in page]
        mark = catalogue.mark(page[-1], sort)
    return seen


def _page(shop: Shop, *, wanted: Filter = EVERYTHING, limit: int, **where: Any) -> list[Listed]:
    with shop.database.reads() as session:
        return catalogue.list_page(session, wanted, limit=limit, **where)


def _names(shop: Shop, product_ids: list[int]) -> list[str]:
    with shop.database.reads() as session:
        return [products.get(session, product_id).product.name for product_id in product_ids]


def _edit(
    shop: Shop, product_id: int, changes: dict[str, Any], *, versions: set[int] | None = None
) -> Listed:
    return transact(
        shop.database.sessions,
        lambda session: products.edit(session, product_id, changes, versions=versions),
    )
