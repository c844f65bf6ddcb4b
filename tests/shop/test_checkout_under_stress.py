"""Many buyers at once, a link that breaks at the worst moment: still one order for each wish."""

from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from infra.db import CommitUnknown, Database, DatabaseBusy, DatabaseDown, open_database
from shop.checkout import (
    InFlight,
)
from shop.orders import Order
from shop.products import Product
from shop.stock import OutOfStock
from tests.shop.stage import Interruption, Level, Shop, at_once
from tests.support.databases import speak_as_mysql
from tests.support.gateway import FakeGateway
from tests.support.mariadb import MariaDB
from tests.support.proxy import Proxy, Way

ProxyTo = Callable[[int], Proxy]


def test_twenty_twins_at_once_are_one_order(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=100)

    answers = at_once([partial(busy_shop.place, {product: 1}, key="once")] * 20)

    assert {answer["id"] for answer in answers if isinstance(answer, dict)} == {_only(busy_shop)}
    assert [answer for answer in answers if not isinstance(answer, dict)] == []
    assert busy_shop.level(product).reserved == 1


def test_twins_of_an_order_that_takes_the_last_piece_get_that_order(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=1)

    answers = at_once([partial(busy_shop.place, {product: 1}, key="once")] * 10)

    assert {answer["id"] for answer in answers if isinstance(answer, dict)} == {_only(busy_shop)}
    assert [answer for answer in answers if not isinstance(answer, dict)] == []


def test_a_hundred_buyers_of_thirty_pieces_are_thirty_orders(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=30)

    answers = at_once(
        [partial(busy_shop.place, {product: 1}, user_id=buyer) for buyer in range(1, 101)]
    )

    assert sum(isinstance(answer, dict) for answer in answers) == 30
    assert sum(isinstance(answer, OutOfStock) for answer in answers) == 70
    assert busy_shop.level(product) == Level(on_hand=30, reserved=30)


def test_buyers_of_the_same_two_products_never_block_each_other(busy_shop: Shop) -> None:
    first, second = busy_shop.sell(quantity=100), busy_shop.sell(quantity=100)
    there, back = {first: 1, second: 1}, {second: 1, first: 1}

    answers = at_once([partial(busy_shop.place, wanted) for wanted in [there, back] * 10])

    assert [answer for answer in answers if not isinstance(answer, dict)] == []
    assert busy_shop.level(first) == busy_shop.level(second) == Level(on_hand=100, reserved=20)


def test_an_order_that_waits_too_long_for_a_lock_is_in_flight(
    busy_shop: Shop, hurried_shop: Shop
) -> None:
    product = busy_shop.sell()
    with busy_shop.database.sessions.begin() as holder:
        holder.get(Product, product, with_for_update=True)

        with pytest.raises(InFlight):
            hurried_shop.place({product: 1})


def test_a_product_cannot_be_withdrawn_while_it_is_being_ordered(
    busy_shop: Shop, hurried_shop: Shop
) -> None:
    product = busy_shop.sell()
    tried = []

    def withdraw() -> None:
        with pytest.raises(DatabaseBusy):
            hurried_shop.withdraw(product)
        tried.append(product)

    Interruption(busy_shop.database, "INSERT INTO orders", withdraw)

    busy_shop.place({product: 1})

    assert tried == [product]


def test_an_order_whose_commit_was_not_answered_is_found_by_its_key(
    database_url: str, mariadb: MariaDB, proxy_to: ProxyTo
) -> None:
    proxy = proxy_to(mariadb.port)
    database = open_database(proxy.url(database_url))
    shop = Shop(database, FakeGateway())
    product = shop.sell()
    _CommitFault(database, partial(proxy.cut_at, b"COMMIT"))

    order = shop.place({product: 1}, key="once")

    assert order["id"] == _only(shop)
    assert shop.level(product).reserved == 1


def test_an_order_without_a_key_whose_commit_was_not_answered_is_found(
    database_url: str, mariadb: MariaDB, proxy_to: ProxyTo
) -> None:
    proxy = proxy_to(mariadb.port)
    database = open_database(proxy.url(database_url))
    shop = Shop(database, FakeGateway())
    product = shop.sell()
    _CommitFault(database, partial(proxy.cut_at, b"COMMIT"))

    order = shop.place({product: 1})

    assert order["id"] == _only(shop)


def test_an_order_whose_commit_never_arrived_is_placed_once_more(
    database_url: str, mariadb: MariaDB, proxy_to: ProxyTo
) -> None:
    proxy = proxy_to(mariadb.port)
    database = open_database(proxy.url(database_url))
    shop = Shop(database, FakeGateway())
    product = shop.sell()
    _CommitFault(database, partial(proxy.cut_after, 0, way=Way.TO_SERVER))

    order = shop.place({product: 1})

    assert order["id"] == _only(shop)
    assert shop.level(product).reserved == 1


def test_an_order_while_the_database_is_away_is_not_placed(
    database_url: str, mariadb: MariaDB, proxy_to: ProxyTo
) -> None:
    proxy = proxy_to(mariadb.port)
    database = open_database(proxy.url(database_url))
    shop = Shop(database, FakeGateway())
    product = shop.sell()
    proxy.refuse()

    with pytest.raises((DatabaseDown, CommitUnknown)):
        shop.place({product: 1})

    proxy.heal()
    assert shop.level(product).reserved == 0


def _only(shop: Shop) -> int:
    with shop.database.reads() as session:
        return session.scalars(sa.select(Order.id)).one()


class _CommitFault:
    """Breaks something, once, between an order's statements and its COMMIT."""

    def __init__(self, database: Database, fault: Callable[[], None]) -> None:
        self._fault = fault
        self._left = 1
        self._placing = False
        speak_as_mysql(database.engine)
        event.listen(database.engine, "before_cursor_execute", self._watch)
        event.listen(database.engine, "commit", self._strike)

    def _watch(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        self._placing |= statement.startswith("INSERT INTO orders")

    def _strike(self, _connection: object) -> None:
        if self._placing and self._left:
            self._left -= 1
            self._fault()
