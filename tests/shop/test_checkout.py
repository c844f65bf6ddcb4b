"""An order is priced by the catalogue, holds stock and starts its payment, or leaves nothing."""

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from infra.db import Database
from shop import money
from shop.checkout import (
    KeyReused,
    NothingToPay,
    OrderTooLarge,
    PriceChanged,
    UnknownProduct,
)
from shop.products import Product
from shop.stock import OutOfStock
from tests.shop.stage import BUYER, Level, Shop, as_told
from tests.support.gateway import FakeGateway

LINES = st.lists(st.tuples(st.integers(1, 10_000_000), st.integers(1, 50)), min_size=1, max_size=5)


def test_the_old_example_costs_a_hundred(shop: Shop) -> None:
    first, second = shop.sell(5000), shop.sell(3333)

    order = shop.place({first: 1, second: 1})

    assert (order["subtotal"], order["fee"], order["total"]) == (83.33, 16.67, 100.00)


def test_ten_of_one_product_cost_ten_times_price_and_fee(shop: Shop) -> None:
    product = shop.sell(5000)

    order = shop.place({product: 10})

    assert (order["subtotal"], order["fee"], order["total"]) == (500.00, 100.00, 600.00)


def test_a_line_shows_the_price_and_fee_of_one_unit(shop: Shop) -> None:
    product = shop.sell(3333)

    order = shop.place({product: 3})

    line = order["items"][0]
    assert (line["product_id"], line["quantity"]) == (product, 3)
    assert (line["unit_price"], line["unit_fee"], line["line_total"]) == (33.33, 6.67, 120.00)


@given(lines=LINES)
def test_total_is_the_sum_of_quantity_times_price_and_fee(
    sqlite_database: Database, lines: list[tuple[int, int]]
) -> None:
    shop = Shop(sqlite_database, FakeGateway())
    wanted = {shop.sell(price, quantity=count): (price, count) for price, count in lines}

    order_id = shop.place({product: count for product, (_, count) in wanted.items()})["id"]

    # Half up in whole numbers: a fifth of the price, and a half counts as one.
    expected = sum(count * (price + (2 * price + 5) // 10) for price, count in wanted.values())
    assert shop.payment(order_id).amount_minor == expected


def test_an_order_holds_its_stock(shop: Shop) -> None:
    product = shop.sell(quantity=10)

    order_id = shop.place({product: 4})["id"]

    assert shop.level(product) == Level(on_hand=10, reserved=4)
    assert shop.reservations(order_id) == {product: "held"}


def test_an_order_is_told_with_its_stock(shop: Shop) -> None:
    product = shop.sell(quantity=10)

    order = shop.place({product: 4})

    placed, held = shop.told(f"orders/{order['id']}")[0], shop.told(f"stock/{product}")[-1]
    assert (placed.type, placed.version, placed.data) == ("order.placed", 1, as_told(order))
    assert (held.type, held.version, held.data["available"]) == ("stock.changed", 2, 6)


def test_what_is_answered_is_what_can_be_read(shop: Shop) -> None:
    order = shop.place({shop.sell(): 2, shop.sell(): 1})

    assert shop.order(order["id"]) == order


def test_a_payment_is_due_at_once(shop: Shop) -> None:
    order = shop.place({shop.sell(): 1}, token="tok_visa")

    payment = shop.payment(order["id"])
    assert (payment.state, payment.amount_minor, payment.token) == ("due", 6000, "tok_visa")
    assert payment.due_at == order["created_at"]


def test_what_is_out_of_stock_is_named(shop: Shop) -> None:
    plenty, scarce = shop.sell(quantity=10), shop.sell(quantity=3)

    with pytest.raises(OutOfStock) as refused:
        shop.place({plenty: 1, scarce: 4})

    assert refused.value.extra == {"product_id": scarce, "available": 3}


def test_an_order_that_cannot_be_filled_leaves_nothing(shop: Shop) -> None:
    plenty, scarce = shop.sell(quantity=10), shop.sell(quantity=3)
    before = shop.snapshot()

    with pytest.raises(OutOfStock):
        shop.place({plenty: 1, scarce: 4}, key="again")

    assert shop.snapshot() == before


def test_a_refused_order_does_not_use_up_its_key(shop: Shop) -> None:
    scarce = shop.sell(quantity=3)
    with pytest.raises(OutOfStock):
        shop.place({scarce: 4}, key="again")

    order = shop.place({scarce: 3}, key="again")

    assert order["status"] == "pending"


def test_a_product_that_never_was_cannot_be_ordered(shop: Shop) -> None:
    product = shop.sell()

    with pytest.raises(UnknownProduct) as refused:
        shop.place({product: 1, product + 1000: 1})

    assert refused.value.extra == {"product_id": product + 1000}
    assert shop.level(product).reserved == 0


def test_a_withdrawn_product_cannot_be_ordered(shop: Shop) -> None:
    product = shop.sell()
    shop.withdraw(product)

    with pytest.raises(UnknownProduct):
        shop.place({product: 1})


def test_a_price_in_another_currency_is_not_taken_for_ours(shop: Shop) -> None:
    product = shop.sell()
    with shop.database.sessions.begin() as session:
        session.execute(sa.update(Product).values(currency="EUR"))

    with pytest.raises(UnknownProduct, match="still in EUR"):
        shop.place({product: 1})


def test_another_total_than_the_catalogues_is_refused_with_the_right_one(shop: Shop) -> None:
    product = shop.sell(3333)
    before = shop.snapshot()

    with pytest.raises(PriceChanged) as refused:
        shop.place({product: 1}, expected_total_minor=3999)

    assert refused.value.extra == {"expected_total": 39.99, "total": 40.00}
    assert shop.snapshot() == before


def test_the_right_total_is_accepted(shop: Shop) -> None:
    order = shop.place({shop.sell(3333): 1}, expected_total_minor=4000)

    assert order["total"] == 40.00


def test_a_total_that_no_gateway_takes_is_refused(shop: Shop) -> None:
    dear = shop.sell(money.MAX_MINOR - 1)

    with pytest.raises(OrderTooLarge):
        shop.place({dear: 1})


def test_an_order_with_nothing_to_pay_is_refused(shop: Shop) -> None:
    free = shop.sell(0)

    with pytest.raises(NothingToPay):
        shop.place({free: 3})

    assert shop.level(free).reserved == 0


def test_the_same_key_gives_the_first_order(shop: Shop) -> None:
    product = shop.sell()
    first = shop.place({product: 2}, key="once")

    second = shop.place({product: 2}, key="once")

    assert second == first
    assert shop.level(product).reserved == 2


def test_the_same_key_gives_the_first_order_as_it_is_now(shop: Shop) -> None:
    product = shop.sell()
    first = shop.place({product: 2}, key="once")
    shop.settle()

    second = shop.place({product: 2}, key="once")

    assert (second["id"], second["status"], second["version"]) == (first["id"], "paid", 2)


def test_the_same_key_gives_the_first_order_after_a_withdrawal(shop: Shop) -> None:
    product = shop.sell()
    first = shop.place({product: 2}, key="once")
    shop.withdraw(product)

    assert shop.place({product: 2}, key="once") == first


def test_the_same_key_gives_the_first_order_though_nothing_is_left(shop: Shop) -> None:
    product = shop.sell(quantity=2)
    first = shop.place({product: 2}, key="once")

    assert shop.place({product: 2}, key="once") == first


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"quantities": {1: 1}}, id="other quantity"),
        pytest.param({"expected_total_minor": 12_000}, id="a total to compare"),
        pytest.param({"token": "tok_declined"}, id="another card"),
    ],
)
def test_the_same_key_for_another_order_is_refused(shop: Shop, change: dict[str, Any]) -> None:
    product = shop.sell()
    shop.place({product: 2}, key="once")
    before = shop.snapshot()

    with pytest.raises(KeyReused):
        shop.place(**{"quantities": {product: 2}, "key": "once", **change})

    assert shop.snapshot() == before


def test_another_persons_same_key_is_another_order(shop: Shop) -> None:
    product = shop.sell()
    mine = shop.place({product: 1}, key="once", user_id=BUYER)

    theirs = shop.place({product: 1}, key="once", user_id=BUYER + 1)

    assert theirs["id"] != mine["id"]


def test_keys_differ_by_their_capitals(shop: Shop) -> None:
    product = shop.sell()
    lower = shop.place({product: 1}, key="key")

    upper = shop.place({product: 1}, key="KEY")

    assert upper["id"] != lower["id"]


def test_orders_without_a_key_are_different_orders(shop: Shop) -> None:
    product = shop.sell()

    orders = [shop.place({product: 1})["id"] for _ in range(2)]

    assert orders[0] != orders[1]


def test_a_fee_rate_of_nothing_costs_the_price_alone(each_database: Database) -> None:
    shop = Shop(each_database, FakeGateway(), fee_rate=Decimal(0))

    order = shop.place({shop.sell(5000): 2})

    assert (order["fee"], order["total"]) == (0, 100.00)
