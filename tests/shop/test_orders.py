"""Orders are read by their owner, newest first, page by page."""

import pytest

from infra.db import Database
from shop import orders
from shop.orders import OrderNotFound, OrderStatus
from tests.shop.stage import BUYER, Shop


@pytest.fixture
def placed(shop: Shop) -> list[int]:
    """Four orders of the buyer's, and between them one of another."""
    product = shop.sell()
    buyers = [BUYER, BUYER, BUYER + 1, BUYER, BUYER]
    made = [int(shop.place({product: 1}, user_id=buyer)["id"]) for buyer in buyers]
    return [*made[:2], *made[3:]]


def test_an_order_is_shown_to_its_owner(shop: Shop) -> None:
    order = shop.place({shop.sell(): 1})

    with shop.database.reads() as session:
        assert orders.get(session, order["id"], user_id=BUYER) == order


def test_anothers_order_is_not_found(shop: Shop) -> None:
    order_id = shop.place_one()

    with shop.database.reads() as session, pytest.raises(OrderNotFound):
        orders.get(session, order_id, user_id=BUYER + 1)


def test_an_order_that_never_was_is_not_found(shop: Shop) -> None:
    with shop.database.reads() as session, pytest.raises(OrderNotFound):
        orders.get(session, 2**63 - 1, user_id=None)


def test_a_person_sees_his_own_orders_newest_first(shop: Shop, placed: list[int]) -> None:
    assert _list(shop.database, user_id=BUYER) == placed[::-1]


def test_operators_see_everybodys_orders(shop: Shop, placed: list[int]) -> None:
    assert len(_list(shop.database, user_id=None)) == 5


def test_orders_are_listed_page_by_page(shop: Shop, placed: list[int]) -> None:
    first = _list(shop.database, user_id=BUYER, limit=3)
    second = _list(shop.database, user_id=BUYER, before_id=first[-1], limit=3)

    assert first + second == placed[::-1]


def test_orders_are_listed_by_status(shop: Shop) -> None:
    paid = shop.paid({shop.sell(): 1})
    pending = shop.place_one()

    assert _list(shop.database, user_id=None, status=OrderStatus.PAID) == [paid]
    assert _list(shop.database, user_id=None, status=OrderStatus.PENDING) == [pending]


def test_lines_stay_as_they_were_when_the_catalogue_changes(shop: Shop) -> None:
    product = shop.sell(5000)
    order = shop.place({product: 1})
    shop.withdraw(product)

    assert shop.order(order["id"])["items"] == order["items"]


def _list(
    database: Database,
    *,
    user_id: int | None,
    before_id: int | None = None,
    limit: int = 10,
    status: OrderStatus | None = None,
) -> list[int]:
    with database.reads() as session:
        page = orders.list_page(
            session, user_id=user_id, before_id=before_id, limit=limit, status=status
        )
        return [row["id"] for row in page]
