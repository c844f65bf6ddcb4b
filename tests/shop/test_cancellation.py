"""An order ends unpaid only while nothing of it can have reached the gateway."""

import json
from datetime import timedelta

import pytest

from shop import cancellation
from shop.amendment import OrderNotChangeable
from shop.cancellation import OrderNotCancellable
from shop.checkout import PriceChanged
from shop.gateways.protocol import ChargeRequest, Missing, NotSent, Unknown
from shop.locks import PaymentInProgress, PaymentUnknown
from shop.orders import OrderNotFound
from shop.stock import OutOfStock
from tests.shop.stage import NOON, TTL, Level, Shop, as_told
from tests.support.gateway import FakeGateway

HOUR = timedelta(hours=1)


def test_a_cancelled_order_gives_its_stock_back(shop: Shop, gateway: FakeGateway) -> None:
    product = shop.sell(quantity=10)
    order_id = int(shop.place({product: 4})["id"])

    shop.cancel(order_id)
    shop.settle()

    assert (shop.status(order_id), shop.level(product)) == ("cancelled", Level(10, 0))
    assert gateway.sent == []
    assert shop.payment(order_id).due_at is None


def test_a_cancelled_order_is_told_as_it_stands(shop: Shop) -> None:
    order_id = shop.place_one()

    cancelled = shop.cancel(order_id)

    told, payment = shop.told(f"orders/{order_id}")[-1], shop.payment_document(order_id)
    assert (told.type, told.data) == ("order.cancelled", as_told(cancelled))
    (of_payment,) = shop.told(f"payments/{payment['id']}")
    assert (of_payment.type, of_payment.data) == ("payment.failed", as_told(payment))


def test_cancelling_twice_changes_nothing(shop: Shop) -> None:
    order_id = shop.place_one()
    shop.cancel(order_id)
    before = shop.snapshot()

    shop.cancel(order_id)

    assert shop.snapshot() == before


def test_an_order_whose_charge_was_not_sent_can_be_cancelled(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    gateway.answer_next(NotSent("refused"))
    shop.settle()

    shop.cancel(order_id)

    assert (shop.status(order_id), shop.attempt(order_id).state) == ("cancelled", "failed")


def test_an_order_whose_charge_is_on_its_way_cannot_be_touched(shop: Shop) -> None:
    order_id = shop.place_one()
    shop.claim()

    for act in (shop.cancel, lambda it: shop.amend(it, {shop.sell(): 1})):
        with pytest.raises(PaymentInProgress):
            act(order_id)

    assert shop.expire() == 0


def test_an_order_in_doubt_cannot_be_touched(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()
    gateway.answer_next(Unknown("timeout"))
    shop.settle()

    for act in (shop.cancel, shop.ask_refund, lambda it: shop.amend(it, {shop.sell(): 1})):
        with pytest.raises(PaymentUnknown):
            act(order_id)

    assert shop.expire(now=NOON + HOUR) == 0


def test_a_paid_order_can_neither_be_cancelled_nor_changed(shop: Shop) -> None:
    order_id = shop.paid({shop.sell(): 1})

    with pytest.raises(OrderNotCancellable):
        shop.cancel(order_id)
    with pytest.raises(OrderNotChangeable):
        shop.amend(order_id, {shop.sell(): 1})

    assert shop.expire(now=NOON + HOUR) == 0


def test_nobody_cancels_the_order_of_another(shop: Shop) -> None:
    order_id = shop.place_one()

    with pytest.raises(OrderNotFound):
        shop.cancel(order_id, user_id=8)


def test_an_order_that_is_not_paid_in_time_expires(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    order_id = int(shop.place({product: 4})["id"])

    early = shop.expire(now=shop.now() + TTL - timedelta(seconds=30))
    late = shop.expire()

    assert (early, late) == (0, 1)
    assert (shop.status(order_id), shop.level(product)) == ("expired", Level(10, 0))
    assert shop.payment(order_id).due_at is None
    assert shop.told_types(f"orders/{order_id}") == ["order.placed", "order.expired"]


@pytest.mark.proof
def test_more_than_a_batch_expires_in_one_run_also_behind_those_in_doubt(
    busy_shop: Shop, gateway: FakeGateway
) -> None:
    product = busy_shop.sell(quantity=3 * cancellation.BATCH)
    gateway.answer_next(Unknown("no answer"), times=cancellation.BATCH)
    doubtful = [int(busy_shop.place({product: 1})["id"]) for _ in range(cancellation.BATCH)]
    busy_shop.settle(now=None)
    for order_id in doubtful:
        busy_shop.look_again(order_id, now=busy_shop.now() - HOUR)
    for _ in range(cancellation.BATCH + 1):
        busy_shop.place({product: 1})

    expired = [busy_shop.expire(budget_s=0), busy_shop.expire()]

    assert expired == [0, cancellation.BATCH + 1]
    assert busy_shop.level(product).reserved == len(doubtful)


def test_an_order_whose_gateway_is_never_reached_expires(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()
    gateway.answer_next(NotSent("refused"), times=3)
    for minutes in (0, 5, 10):
        shop.settle(now=NOON + timedelta(minutes=minutes))

    shop.expire(now=NOON + HOUR)
    shop.settle(now=NOON + 2 * HOUR)

    assert (shop.status(order_id), gateway.captured()) == ("expired", {})


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_a_charge_found_after_the_end_sells_again(
    shop: Shop, gateway: FakeGateway, how: str
) -> None:
    product, order_id = _ended_but_charged(shop, gateway, how=how)
    ended = shop.status(order_id)

    shop.look_again(order_id, now=NOON + 3 * HOUR)
    shop.settle(now=NOON + 3 * HOUR)
    shop.fulfil(now=NOON + 3 * HOUR)

    assert (ended, shop.status(order_id), shop.level(product)) == (how, "completed", Level(0, 0))
    assert sum(shop.ledger(order_id).values()) == 0
    assert len(gateway.captured()) == 1


def test_a_charge_is_looked_for_after_the_end_until_the_gateway_was_asked(
    shop: Shop, gateway: FakeGateway
) -> None:
    _, order_id = _ended_but_charged(shop, gateway)
    shop.look_again(order_id, now=NOON + 3 * HOUR)
    (claim,) = shop.claim(now=NOON + 3 * HOUR)

    shop.write(claim, NotSent("its turn came too late"), now=NOON + 3 * HOUR)
    shop.settle(now=NOON + 4 * HOUR)

    assert shop.status(order_id) == "paid"


def test_a_webhook_during_a_look_after_the_end_has_it_looked_for_once_more(
    shop: Shop, gateway: FakeGateway
) -> None:
    _, order_id = _ended_but_charged(shop, gateway)
    shop.look_again(order_id, now=NOON + 3 * HOUR)
    (claim,) = shop.claim(now=NOON + 3 * HOUR)
    shop.look_again(order_id, now=NOON + 3 * HOUR + timedelta(seconds=1))

    shop.write(claim, Missing(), now=NOON + 3 * HOUR)
    shop.settle(now=NOON + 4 * HOUR)

    assert shop.status(order_id) == "paid"


def test_a_charge_found_after_the_stock_has_gone_is_given_back(
    shop: Shop, gateway: FakeGateway
) -> None:
    plenty = shop.sell(quantity=5)
    product, order_id = _ended_but_charged(shop, gateway, also=plenty)
    shop.place({product: 1}, user_id=8)

    shop.look_again(order_id, now=NOON + 3 * HOUR)
    shop.settle(now=NOON + 3 * HOUR)
    shop.give_back(now=NOON + 3 * HOUR)

    assert (shop.status(order_id), shop.order(order_id)["refunded"]) == ("refunded", 120.0)
    assert gateway.given_back() == {f"refund:{order_id}:1:1": 12000}
    assert shop.level(plenty) == Level(5, 0)


def test_a_charge_that_is_not_found_after_the_end_changes_nothing(
    shop: Shop, gateway: FakeGateway
) -> None:
    _, order_id = _ended_but_charged(shop, gateway)
    gateway.find_next(Missing())
    sent = list(gateway.sent)

    shop.look_again(order_id, now=NOON + 3 * HOUR)
    shop.settle(now=NOON + 3 * HOUR)

    assert shop.status(order_id) == "cancelled"
    assert shop.payment(order_id).due_at is None
    assert gateway.sent == sent


def test_a_look_after_the_end_without_an_answer_is_repeated_for_hours_and_not_for_ever(
    shop: Shop, gateway: FakeGateway
) -> None:
    _, order_id = _ended_but_charged(shop, gateway)
    began_at = NOON + 3 * HOUR
    shop.look_again(order_id, now=began_at)
    looks = []

    while due_at := shop.payment(order_id).due_at:
        looks.append(due_at - began_at)
        gateway.find_next(Unknown("timeout"))
        shop.settle(now=due_at)

    assert looks == [timedelta(minutes=it) for it in (0, 0.5, 2.5, 12.5, 72.5, 432.5)]
    assert (shop.status(order_id), shop.payment(order_id).tries) == ("cancelled", 0)


def test_a_changed_order_is_priced_and_held_anew(shop: Shop, gateway: FakeGateway) -> None:
    first, second = shop.sell(5000, quantity=10), shop.sell(100, quantity=10)
    order_id = int(shop.place({first: 3})["id"])

    changed = shop.amend(order_id, {first: 1, second: 2}, expected_total_minor=6240)
    shop.settle()

    assert (changed["total"], changed["version"]) == (62.40, 2)
    assert [item["quantity"] for item in changed["items"]] == [1, 2]
    assert (shop.level(first), shop.level(second)) == (Level(10, 1), Level(10, 2))
    assert gateway.captured() == {f"{order_id}:1": 6240}
    assert shop.told(f"orders/{order_id}")[1].data == as_told(changed)


@pytest.mark.parametrize(
    ("quantity", "total", "refusal"), [(11, None, OutOfStock), (2, 1, PriceChanged)]
)
def test_a_change_that_is_refused_changes_nothing(
    shop: Shop, quantity: int, total: int | None, refusal: type[Exception]
) -> None:
    product = shop.sell(quantity=10)
    order_id = int(shop.place({product: 1})["id"])
    before = shop.snapshot()

    with pytest.raises(refusal):
        shop.amend(order_id, {product: quantity}, expected_total_minor=total)

    assert shop.snapshot() == before


def _ended_but_charged(
    shop: Shop, gateway: FakeGateway, *, also: int | None = None, how: str = "cancelled"
) -> tuple[int, int]:
    """An ended order whose charge was said not to be sent, and was made: the last piece, 60.00.

    With `also`, one piece of that product too.
    """
    product = shop.sell(quantity=1)
    order_id = int(shop.place(dict.fromkeys((product, also or product), 1))["id"])
    gateway.answer_next(NotSent("refused"))
    shop.settle()
    request = json.loads(shop.attempt(order_id).request)
    gateway.charge(ChargeRequest.from_document(request))
    if how == "cancelled":
        shop.cancel(order_id)
    else:
        shop.expire()
    return product, order_id
