"""Paid goods leave the house after their delay; what is no longer sold is given back as money."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from infra.db import Database
from shop import fulfilment
from shop.payments import Payment
from tests.shop.stage import NOON, Level, Shop, as_told, at_once
from tests.support.gateway import FakeGateway

DELAY = timedelta(seconds=5)


@pytest.fixture
def patient_shop(each_database: Database, gateway: FakeGateway) -> Shop:
    """A shop that waits a little before it delivers."""
    return Shop(each_database, gateway, fulfilment_delay=DELAY)


def test_a_paid_order_is_completed(shop: Shop) -> None:
    order_id = shop.paid({shop.sell(): 1})

    fulfilled = shop.fulfil()

    assert fulfilled == 1
    assert shop.status(order_id) == "completed"


def test_goods_that_are_delivered_leave_the_stock(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    order_id = shop.paid({product: 4})

    shop.fulfil()

    assert shop.level(product) == Level(on_hand=6, reserved=0)
    assert shop.reservations(order_id) == {product: "committed"}


def test_a_completed_order_is_told_as_it_stands_in_the_database(shop: Shop) -> None:
    order_id = shop.paid({shop.sell(): 1})

    shop.fulfil()

    told = shop.told(f"orders/{order_id}")[-1]
    assert (told.type, told.version, told.data) == (
        "order.completed",
        3,
        as_told(shop.order(order_id)),
    )


def test_a_batch_tells_of_each_products_stock_once(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    for _ in range(3):
        shop.place({product: 2})
    shop.settle()
    before = len(shop.told(f"stock/{product}"))

    shop.fulfil()

    told = shop.told(f"stock/{product}")[before:]
    assert [event.data["on_hand"] for event in told] == [4]


def test_nothing_is_delivered_before_its_delay(patient_shop: Shop) -> None:
    order_id = patient_shop.paid({patient_shop.sell(): 1}, now=NOON)

    fulfilled = patient_shop.fulfil(now=NOON + DELAY - timedelta(milliseconds=1))

    assert fulfilled == 0
    assert patient_shop.status(order_id) == "paid"


def test_everything_is_delivered_after_its_delay(patient_shop: Shop) -> None:
    order_id = patient_shop.paid({patient_shop.sell(): 1}, now=NOON)

    patient_shop.fulfil(now=NOON + DELAY)

    assert patient_shop.status(order_id) == "completed"


def test_an_unpaid_order_is_not_delivered(shop: Shop) -> None:
    order_id = shop.place_one()

    shop.fulfil()

    assert shop.status(order_id) == "pending"


def test_an_order_is_delivered_once(shop: Shop) -> None:
    shop.paid({shop.sell(): 1})
    shop.fulfil()
    before = shop.snapshot()

    fulfilled = shop.fulfil(now=NOON + timedelta(days=1))

    assert fulfilled == 0
    assert shop.snapshot() == before


def test_an_order_of_a_withdrawn_product_is_to_be_refunded(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    order_id = shop.paid({product: 4})
    shop.withdraw(product)

    shop.fulfil()

    assert shop.status(order_id) == "refunding"
    assert shop.told_types(f"orders/{order_id}")[-1] == "order.refunding"


def test_stock_of_a_withdrawn_product_is_released(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    order_id = shop.paid({product: 4})
    shop.withdraw(product)

    shop.fulfil()

    assert shop.level(product) == Level(on_hand=10, reserved=0)
    assert shop.reservations(order_id) == {product: "released"}


def test_the_whole_charge_of_a_withdrawn_product_is_due_to_be_given_back(shop: Shop) -> None:
    product = shop.sell(3333)
    order_id = shop.paid({product: 3})
    shop.withdraw(product)

    shop.fulfil()

    refund = shop.refund(order_id)
    assert (refund.amount_minor, refund.state, refund.due_at) == (12_000, "created", NOON)
    assert (refund.charge_id, refund.reason) == (f"ch_{order_id}:1", "product withdrawn")


def test_one_withdrawn_product_refunds_the_whole_order(shop: Shop) -> None:
    kept, withdrawn = shop.sell(quantity=10), shop.sell(quantity=10)
    order_id = shop.paid({kept: 1, withdrawn: 1})
    shop.withdraw(withdrawn)

    shop.fulfil()

    assert shop.refund(order_id).amount_minor == 12_000
    assert shop.level(kept) == Level(on_hand=10, reserved=0)


def test_a_withdrawal_does_not_touch_the_other_orders_of_the_batch(shop: Shop) -> None:
    kept, withdrawn = shop.sell(quantity=10), shop.sell(quantity=10)
    delivered, refunded = shop.paid({kept: 1}), shop.paid({withdrawn: 1})
    shop.withdraw(withdrawn)

    fulfilled = shop.fulfil()

    assert fulfilled == 2
    assert (shop.status(delivered), shop.status(refunded)) == ("completed", "refunding")


def test_a_withdrawal_after_delivery_changes_nothing(shop: Shop) -> None:
    product = shop.sell()
    order_id = shop.paid({product: 1})
    shop.fulfil()

    shop.withdraw(product)

    assert shop.fulfil() == 0
    assert shop.status(order_id) == "completed"


def test_more_than_a_batch_is_delivered_in_one_run(busy_shop: Shop, gateway: FakeGateway) -> None:
    product = busy_shop.sell(quantity=fulfilment.BATCH + 1)
    for _ in range(fulfilment.BATCH + 1):
        busy_shop.place({product: 1})
    busy_shop.settle()

    fulfilled = busy_shop.fulfil()

    assert fulfilled == fulfilment.BATCH + 1
    assert busy_shop.level(product) == Level(on_hand=0, reserved=0)


@pytest.mark.proof
def test_a_run_whose_time_is_over_leaves_the_rest_to_the_next(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=fulfilment.BATCH + 1)
    for _ in range(fulfilment.BATCH + 1):
        busy_shop.place({product: 1})
    busy_shop.settle()

    done = [busy_shop.fulfil(budget_s=0), busy_shop.fulfil()]

    assert done == [fulfilment.BATCH, 1]


def test_an_order_whose_payment_is_locked_is_left_to_the_next_run(busy_shop: Shop) -> None:
    order_id = busy_shop.paid({busy_shop.sell(): 1})
    with busy_shop.database.sessions.begin() as holder:
        holder.get(Payment, busy_shop.payment(order_id).id, with_for_update=True)

        meanwhile = busy_shop.fulfil()

    assert (meanwhile, busy_shop.fulfil()) == (0, 1)


def test_two_workers_at_once_deliver_each_order_once(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=50)
    for _ in range(20):
        busy_shop.place({product: 2})
    busy_shop.settle()

    fulfilled = at_once([busy_shop.fulfil] * 2)

    assert sum(done for done in fulfilled if isinstance(done, int)) == 20
    assert busy_shop.level(product) == Level(on_hand=10, reserved=0)


def test_orders_and_deliveries_of_one_product_at_once_lose_no_piece(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=100)
    for _ in range(10):
        busy_shop.place({product: 3})
    busy_shop.settle()
    buys = [partial(busy_shop.place, {product: 1}) for _ in range(10)]

    with ThreadPoolExecutor(1) as thread:
        delivered = thread.submit(busy_shop.fulfil)
        at_once(buys)

    assert delivered.result() == 10
    assert busy_shop.level(product) == Level(on_hand=70, reserved=10)
