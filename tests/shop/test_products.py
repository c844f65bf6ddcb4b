"""The catalogue: created, edited and withdrawn with an event each; stock is not edited."""

from typing import Any

import pytest

from infra.db import transact
from shop import catalogue, products
from shop.catalogue import Filter, Mark
from shop.products import Draft, Listed, ProductNotFound, QuantityNotEditable
from tests.shop.stage import Level, Shop, as_told

LAMP = Draft("Oak Desk Lamp", 7450, "USD", "Warm.", "home", "/images/4.svg")


def test_a_new_product_is_on_sale(shop: Shop) -> None:
    product_id = _create(shop, LAMP, quantity=3)

    shown = _get(shop, product_id).public()
    assert (shown["name"], shown["price"], shown["quantity"]) == ("Oak Desk Lamp", 74.50, 3)
    assert (shown["category"], shown["version"], shown["external_id"]) == ("home", 1, None)


def test_a_new_product_is_told_as_it_stands_in_the_database(shop: Shop) -> None:
    product_id = _create(shop, LAMP)

    (told,) = shop.told(f"products/{product_id}")
    assert (told.type, told.version) == ("product.created", 1)
    assert told.data == as_told(products.public(_get(shop, product_id).product))


def test_first_stock_is_told_as_an_aggregate_of_its_own(shop: Shop) -> None:
    product_id = _create(shop, LAMP, quantity=3)

    (told,) = shop.told(f"stock/{product_id}")
    assert (told.type, told.version) == ("stock.changed", 1)
    assert (told.data["on_hand"], told.data["available"]) == (3, 3)


def test_quantity_is_what_can_still_be_ordered(shop: Shop) -> None:
    product_id = shop.sell(quantity=10)
    shop.place({product_id: 4})

    assert _get(shop, product_id).public()["quantity"] == 6


def test_an_edited_product_is_told_as_it_stands_in_the_database(shop: Shop) -> None:
    product_id = _create(shop, LAMP)

    _edit(shop, product_id, {"price_minor": 8000, "name": "Lamp"})

    told = shop.told(f"products/{product_id}")[-1]
    assert (told.type, told.version, told.data["price"]) == ("product.updated", 2, 80.00)
    assert told.data == as_told(products.public(_get(shop, product_id).product))


def test_an_edit_that_changes_nothing_is_not_told(shop: Shop) -> None:
    product_id = _create(shop, LAMP)
    before = shop.snapshot()

    _edit(shop, product_id, {"price_minor": LAMP.price_minor, "name": LAMP.name})

    assert shop.snapshot() == before


def test_an_edit_may_repeat_the_quantity(shop: Shop) -> None:
    product_id = _create(shop, LAMP, quantity=3)

    edited = _edit(shop, product_id, {"name": "Lamp"}, quantity=3)

    assert edited.product.name == "Lamp"


def test_an_edit_may_not_change_the_quantity(shop: Shop) -> None:
    product_id = _create(shop, LAMP, quantity=3)
    before = shop.snapshot()

    with pytest.raises(QuantityNotEditable) as refused:
        _edit(shop, product_id, {"name": "Lamp"}, quantity=4)

    assert refused.value.extra == {"quantity": 3}
    assert shop.snapshot() == before


def test_quantity_of_an_edit_is_compared_with_what_is_left(shop: Shop) -> None:
    product_id = shop.sell(quantity=10)
    shop.place({product_id: 4})

    edited = _edit(shop, product_id, {"name": "Lamp"}, quantity=6)

    assert edited.product.name == "Lamp"


def test_a_withdrawn_product_is_gone(shop: Shop) -> None:
    product_id = _create(shop, LAMP)

    shop.withdraw(product_id)

    with pytest.raises(ProductNotFound):
        _get(shop, product_id)


def test_a_withdrawal_is_told(shop: Shop) -> None:
    product_id = _create(shop, LAMP)

    shop.withdraw(product_id)

    told = shop.told(f"products/{product_id}")[-1]
    assert (told.type, told.version, told.data["withdrawn"]) == ("product.withdrawn", 2, True)


def test_a_withdrawal_leaves_the_stock(shop: Shop) -> None:
    product_id = shop.sell(quantity=10)
    shop.place({product_id: 4})

    shop.withdraw(product_id)

    assert shop.level(product_id) == Level(on_hand=10, reserved=4)


def test_what_is_withdrawn_cannot_be_withdrawn_again(shop: Shop) -> None:
    product_id = _create(shop, LAMP)
    shop.withdraw(product_id)

    with pytest.raises(ProductNotFound):
        shop.withdraw(product_id)


def test_what_is_withdrawn_cannot_be_edited(shop: Shop) -> None:
    product_id = _create(shop, LAMP)
    shop.withdraw(product_id)

    with pytest.raises(ProductNotFound):
        _edit(shop, product_id, {"name": "Lamp"})


@pytest.mark.parametrize("product_id", [2**40, 2**63 - 1])
def test_a_product_that_never_was_is_not_found(shop: Shop, product_id: int) -> None:
    with pytest.raises(ProductNotFound):
        _get(shop, product_id)


def test_products_are_listed_newest_first(shop: Shop) -> None:
    made = [shop.sell() for _ in range(3)]

    assert _list(shop, below_id=None, limit=10) == made[::-1]


def test_products_are_listed_page_by_page(shop: Shop) -> None:
    made = [shop.sell() for _ in range(5)]

    first = _list(shop, below_id=None, limit=2)
    second = _list(shop, below_id=first[-1], limit=2)

    assert first + second == [made[4], made[3], made[2], made[1]]


def test_withdrawn_products_are_not_listed(shop: Shop) -> None:
    kept, withdrawn = shop.sell(), shop.sell()
    shop.withdraw(withdrawn)

    assert _list(shop, below_id=None, limit=10) == [kept]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lamp", ["LAMP 100%", "Oak Lamp"]),
        ("100%", ["LAMP 100%"]),
        ("%", ["LAMP 100%"]),
        ("_", []),
        ("'; DROP TABLE product; --", []),
        ("💡", []),
    ],
)
def test_products_are_found_by_a_part_of_their_name(
    shop: Shop, text: str, names: list[str]
) -> None:
    for name in ("Oak Lamp", "LAMP 100%", "Chair"):
        _create(shop, Draft(name, 100, "USD"))

    with shop.database.reads() as session:
        found = catalogue.list_page(session, Filter(text=text), limit=10)

    assert [row.product.name for row in found] == names


def test_products_are_listed_by_category(shop: Shop) -> None:
    lamp = _create(shop, LAMP)
    shop.sell()

    with shop.database.reads() as session:
        found = catalogue.list_page(session, Filter(category="home"), limit=10)

    assert [row.product.id for row in found] == [lamp]


def test_a_catalogue_is_empty_until_there_was_a_product(shop: Shop) -> None:
    with shop.database.reads() as session:
        empty_at_first = products.is_empty(session)
    shop.withdraw(shop.sell())

    with shop.database.reads() as session:
        empty_later = products.is_empty(session)

    assert (empty_at_first, empty_later) == (True, False)


def _create(shop: Shop, draft: Draft, *, quantity: int = 10) -> int:
    return transact(
        shop.database.sessions,
        lambda session: products.create(session, draft, quantity=quantity).product.id,
    )


def _edit(
    shop: Shop, product_id: int, changes: dict[str, Any], *, quantity: int | None = None
) -> Listed:
    return transact(
        shop.database.sessions,
        lambda session: products.edit(session, product_id, changes, quantity=quantity),
    )


def _get(shop: Shop, product_id: int) -> Listed:
    with shop.database.reads() as session:
        return products.get(session, product_id)


def _list(shop: Shop, *, below_id: int | None, limit: int) -> list[int]:
    with shop.database.reads() as session:
        after = None if below_id is None else Mark(below_id)
        found = catalogue.list_page(session, after=after, limit=limit)
        return [row.product.id for row in found]
