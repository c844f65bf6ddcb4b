"""Operators give back all or a part, never more than was taken, with the goods or without."""

from datetime import timedelta

import pytest

from infra.db import Database
from shop.gateways.protocol import Declined, Unknown
from shop.gateways.sandbox import SandboxGateway
from shop.refund_requests import (
    ItemsNeeded,
    NotDelivered,
    OrderNotPaid,
    RefundKeyReused,
    RefundTooLarge,
)
from shop.repayments import AGAIN_AFTER
from tests.shop.conftest import PATIENT_S
from tests.shop.stage import NOON, OPERATOR, Level, Shop, as_told, at_once
from tests.support.gateway import FakeGateway
from tests.support.sandbox import Sandbox

MINUTE = timedelta(minutes=1)


@pytest.fixture
def product(shop: Shop) -> int:
    """Ten pieces at 60.00."""
    return shop.sell(quantity=10)


@pytest.fixture
def delivered(shop: Shop, product: int) -> int:
    """An order of three pieces, 180.00, that has been delivered."""
    order_id = shop.paid({product: 3})
    shop.fulfil()
    return order_id


def test_a_part_is_given_back_and_the_order_stays(
    shop: Shop, gateway: FakeGateway, delivered: int
) -> None:
    shop.ask_refund(delivered, 5000)
    shop.give_back()

    order = shop.order(delivered)
    assert (order["status"], order["refunded"]) == ("completed", 50.0)
    assert gateway.given_back() == {f"refund:{delivered}:1:1": 5000}
    told = shop.told(f"orders/{delivered}")[-1]
    assert (told.type, told.data) == ("order.updated", as_told(order))


def test_parts_that_make_up_the_whole_end_the_order(
    shop: Shop, gateway: FakeGateway, delivered: int
) -> None:
    shop.ask_refund(delivered, 5000)
    shop.give_back()
    shop.ask_refund(delivered)
    refunding = shop.status(delivered)
    shop.give_back()

    assert (refunding, shop.status(delivered)) == ("refunding", "refunded")
    assert gateway.given_back() == {
        f"refund:{delivered}:1:1": 5000,
        f"refund:{delivered}:1:2": 13000,
    }
    assert sum(shop.ledger(delivered).values()) == 0


def test_more_than_is_left_is_refused(shop: Shop, delivered: int) -> None:
    shop.ask_refund(delivered, 17000)

    with pytest.raises(RefundTooLarge) as refused:
        shop.ask_refund(delivered, 1001)

    assert refused.value.extra["refundable"] == 10.0


def test_refunds_asked_for_at_once_never_exceed_the_charge(
    busy_shop: Shop, gateway: FakeGateway
) -> None:
    order_id = busy_shop.paid({busy_shop.sell(quantity=5): 3})

    answers = at_once([lambda: busy_shop.ask_refund(order_id, 5000)] * 20)
    busy_shop.give_back()

    assert sum(isinstance(answer, RefundTooLarge) for answer in answers) == 17
    assert sum(gateway.given_back().values()) == 15000


def test_a_refund_that_failed_can_be_asked_for_again(
    shop: Shop, gateway: FakeGateway, delivered: int
) -> None:
    gateway.answer_next(Declined("refund_refused"))
    shop.ask_refund(delivered, restock=True)
    shop.give_back()
    failed, told = shop.status(delivered), shop.told(f"orders/{delivered}")[-1]

    again = shop.ask_refund(delivered, restock=True)
    shop.give_back()

    assert sum(item["quantity"] for item in again["restock"]) == 3
    assert (failed, told.type, told.data["status"]) == ("completed", "order.updated", "completed")
    assert shop.status(delivered) == "refunded"
    assert gateway.given_back() == {f"refund:{delivered}:1:2": 18000}


def test_an_unknown_refund_counts_until_it_is_known(
    shop: Shop, gateway: FakeGateway, delivered: int
) -> None:
    gateway.answer_next(Unknown("timeout"))
    shop.ask_refund(delivered, 18000)
    shop.give_back()

    with pytest.raises(RefundTooLarge):
        shop.ask_refund(delivered, 1)
    shop.give_back(now=NOON + AGAIN_AFTER)

    assert shop.status(delivered) == "refunded"


def test_of_two_equal_parts_the_one_in_doubt_is_told_from_the_other(
    database: Database, sandbox: Sandbox
) -> None:
    shop = Shop(database, SandboxGateway(sandbox.gateway_url, timeout_s=PATIENT_S))
    order_id = shop.place_one()
    shop.settle(now=None)
    at = shop.now()
    shop.ask_refund(order_id, 2000, now=at)
    shop.ask_refund(order_id, 2000, now=at)
    sandbox.fault("gateway", "http_500", times=1, match={"path": "/v1/refunds"})
    shop.give_back(now=at)
    before = sandbox.ledger().kept(order_id)

    done = shop.give_back(now=at + AGAIN_AFTER)

    keys = [it.idempotency_key for it in sandbox.ledger().refunds]
    assert (before, done) == (4000, 1)
    assert sorted(keys) == [f"refund:{order_id}:1:{n}" for n in (1, 2)]
    assert (sandbox.ledger().kept(order_id), shop.order(order_id)["refunded"]) == (2000, 40.0)


def test_the_same_key_again_is_the_same_refund(shop: Shop, delivered: int) -> None:
    first = shop.ask_refund(delivered, 100, key="once")

    again = shop.ask_refund(delivered, 100, key="once")

    assert again == first
    with pytest.raises(RefundKeyReused):
        shop.ask_refund(delivered, 200, key="once")


def test_an_unpaid_order_has_nothing_to_give_back(shop: Shop) -> None:
    order_id = shop.place_one()

    with pytest.raises(OrderNotPaid):
        shop.ask_refund(order_id)


def test_goods_stay_away_unless_they_are_taken_back(
    shop: Shop, product: int, delivered: int
) -> None:
    shop.ask_refund(delivered)
    shop.give_back()

    assert shop.level(product) == Level(on_hand=7, reserved=0)


def test_goods_come_back_once_the_money_has_gone(shop: Shop, product: int, delivered: int) -> None:
    shop.ask_refund(delivered, restock=True)
    before = shop.level(product)

    shop.give_back()

    assert (before, shop.level(product)) == (Level(7, 0), Level(10, 0))
    (movement,) = shop.movements(product)
    assert (movement.change, movement.reason, movement.on_hand) == (3, "return", 10)
    assert (movement.user_id, movement.note) == (OPERATOR, f"order {delivered}, refund 1")


def test_a_part_names_the_goods_that_come_back(shop: Shop, product: int, delivered: int) -> None:
    with pytest.raises(ItemsNeeded):
        shop.ask_refund(delivered, 6000, restock=True)
    shop.ask_refund(delivered, 6000, items={product: 1})
    with pytest.raises(NotDelivered):
        shop.ask_refund(delivered, 6000, items={product: 3})
    shop.ask_refund(delivered, restock=True)
    shop.give_back()

    assert shop.level(product) == Level(on_hand=10, reserved=0)
    assert [movement.change for movement in shop.movements(product)] == [1, 2]


def test_what_was_paid_and_not_delivered_stays_in_the_house(shop: Shop, product: int) -> None:
    order_id = shop.paid({product: 3})

    shop.ask_refund(order_id)
    shop.fulfil(now=NOON + timedelta(days=1))
    shop.give_back()

    assert (shop.status(order_id), shop.level(product)) == ("refunded", Level(10, 0))


def test_a_withdrawn_product_gives_back_only_what_is_left(
    shop: Shop, gateway: FakeGateway, product: int
) -> None:
    order_id = shop.paid({product: 3})
    shop.ask_refund(order_id, 5000)
    shop.withdraw(product)

    shop.fulfil()
    shop.give_back()

    assert shop.status(order_id) == "refunded"
    assert sum(gateway.given_back().values()) == 18000
    assert gateway.given_back().keys() == {f"refund:{order_id}:1:1", f"refund:{order_id}:1:2"}


def test_a_timeline_tells_all_that_happened(shop: Shop, gateway: FakeGateway) -> None:
    order_id = int(shop.place({shop.sell(): 1}, key="mine")["id"])
    gateway.lose_next_answer()
    shop.settle(now=NOON)
    shop.settle(now=NOON + timedelta(seconds=30))
    shop.fulfil(now=NOON + MINUTE)
    shop.ask_refund(order_id, 1000)
    shop.give_back(now=NOON + MINUTE)

    told = shop.timeline(order_id)

    assert told["request"]["idempotency_key"] == "mine"
    assert told["request"]["total"] == 60.0
    (attempt,) = told["attempts"]
    assert (attempt["key"], attempt["state"]) == (f"{order_id}:1", "succeeded")
    assert [(call["operation"], call["outcome"]) for call in told["gateway_calls"]] == [
        ("charge", "unknown"),
        ("find_charge", "succeeded"),
        ("refund", "succeeded"),
    ]
    assert [event["type"] for event in told["events"]] == [
        "order.placed",
        "order.payment_unknown",
        "payment.unknown",
        "order.paid",
        "payment.succeeded",
        "order.completed",
        "order.updated",
        "refund.succeeded",
    ]


def test_a_charge_that_succeeds_at_once_is_a_call_too(shop: Shop) -> None:
    order_id = shop.paid({shop.sell(): 1})

    (call,) = shop.timeline(order_id)["gateway_calls"]

    assert (call["operation"], call["outcome"], call["key"]) == (
        "charge",
        "succeeded",
        f"{order_id}:1",
    )
