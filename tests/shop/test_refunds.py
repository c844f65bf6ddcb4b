"""Money goes back under a key of its own, once, and is booked when the gateway confirms it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shop import doubts
from shop.gateways.protocol import Declined, NotSent, RefundRequest, Unknown
from shop.refunds import Refund
from shop.repayments import (
    AFTER_REFUSALS,
    AGAIN_AFTER,
    CHECKS,
    LEASE,
    MOST_TRIES,
    SEND_AGAIN_FOR,
)
from tests.shop.stage import NOON, Shop, as_told, at_once
from tests.support.gateway import FakeGateway
from tests.support.processes import eventually


@pytest.fixture
def owed(shop: Shop) -> int:
    """An order of 60.00 that is to be given back."""
    return _owed(shop)


def test_a_refund_gives_the_whole_charge_back(shop: Shop, gateway: FakeGateway, owed: int) -> None:
    done = shop.give_back()

    assert done == 1
    assert gateway.given_back() == {f"refund:{owed}:1:1": 6000}
    assert (shop.status(owed), shop.order(owed)["refunded"]) == ("refunded", 60.00)


def test_a_refund_brings_the_books_back_to_nothing(shop: Shop, owed: int) -> None:
    shop.give_back()

    charge, refund = f"{owed}:1", f"refund:{owed}:1:1"
    assert shop.ledger(owed) == {
        (charge, "gateway:fake"): 6000,
        (charge, "sales"): -6000,
        (refund, "gateway:fake"): -6000,
        (refund, "sales"): 6000,
    }


def test_a_refunded_order_is_told_as_it_stands_in_the_database(shop: Shop, owed: int) -> None:
    shop.give_back()

    told = shop.told(f"orders/{owed}")[-1]
    assert (told.type, told.version) == ("order.refunded", 4)
    assert told.data == as_told(shop.order(owed))


def test_a_refund_is_told(shop: Shop, owed: int) -> None:
    shop.give_back()

    (told,) = shop.told(f"refunds/{shop.refund(owed).id}")
    assert (told.type, told.version) == ("refund.succeeded", 1)
    assert (told.data["order_id"], told.data["amount"], told.data["status"]) == (
        owed,
        60.00,
        "succeeded",
    )


def test_a_refund_is_given_once(shop: Shop, gateway: FakeGateway, owed: int) -> None:
    shop.give_back()
    before = shop.snapshot()

    done = shop.give_back(now=NOON + timedelta(days=1))

    assert done == 0
    assert len(gateway.sent) == 2
    assert shop.snapshot() == before


def test_an_unknown_refund_is_sent_again_under_its_key(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.lose_next_answer()
    shop.give_back(now=NOON)
    unknown = shop.refund(owed)

    shop.give_back(now=NOON + AGAIN_AFTER)

    assert (unknown.state, unknown.due_at) == ("unknown", NOON + AGAIN_AFTER)
    assert gateway.given_back() == {f"refund:{owed}:1:1": 6000}
    assert shop.status(owed) == "refunded"


def test_an_unknown_refund_is_not_booked(shop: Shop, gateway: FakeGateway, owed: int) -> None:
    gateway.lose_next_answer()

    shop.give_back()

    assert shop.status(owed) == "refunding"
    assert sum(shop.ledger(owed).values()) == 0
    assert len(shop.ledger(owed)) == 2


def test_a_refund_that_could_not_be_sent_is_due_again_soon(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.answer_next(NotSent("ConnectError"))

    shop.give_back()

    refund = shop.refund(owed)
    assert (refund.state, refund.due_at) == ("created", NOON + AGAIN_AFTER)


def test_a_refused_refund_has_failed_and_is_told(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.answer_next(Declined("refund_exceeds_charge"))

    shop.give_back()

    refund = shop.refunds(owed)[0]
    (told,) = shop.told(f"refunds/{refund.id}")
    assert (refund.state, refund.due_at) == ("failed", None)
    assert (told.type, told.data["status"]) == ("refund.failed", "failed")


def test_who_has_neither_goods_nor_money_is_given_it_under_the_next_key(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    at, waits = NOON, []
    for _ in range(4):
        gateway.answer_next(Declined("balance_insufficient"))
        shop.give_back(now=at)
        due_at = shop.refunds(owed)[-1].due_at
        assert due_at is not None
        waits.append(due_at - at)
        at = due_at
    refused = shop.status(owed)

    shop.give_back(now=at)

    assert waits == [*AFTER_REFUSALS, AFTER_REFUSALS[-1]]
    assert gateway.given_back() == {f"refund:{owed}:1:5": 6000}
    assert (refused, shop.status(owed)) == ("refunding", "refunded")


def test_what_waits_after_a_refusal_is_sent_at_once_when_it_is_asked_for(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.answer_next(Declined("balance_insufficient"))
    shop.give_back()

    asked = [shop.ask_refund(owed, key="again") for _ in range(2)]
    shop.give_back()

    assert asked[0] == asked[1]
    assert shop.ask_refund(owed, key="again")["id"] == asked[0]["id"]
    assert gateway.given_back() == {f"refund:{owed}:1:2": 6000}
    assert shop.status(owed) == "refunded"


def test_a_refund_in_doubt_is_asked_for_ever_more_rarely_and_then_by_a_person(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.answer_next(Unknown("ReadTimeout"), times=100)
    asked_at = [NOON]
    shop.give_back(now=NOON)
    while (due_at := shop.refund(owed).due_at) is not None:
        gateway.find_next(Unknown("look-up failed"))
        shop.give_back(now=due_at)
        asked_at.append(due_at)

    assert [at - NOON for at in asked_at[1:]] == [
        *CHECKS,
        *(CHECKS[-1] + n * doubts.LATE_CHECK for n in range(1, 7)),
    ]
    assert (shop.refund(owed).state, shop.status(owed)) == ("unknown", "refunding")


def test_a_refund_that_was_not_made_in_a_day_is_made_anew(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.answer_next(Unknown("ReadTimeout"))
    shop.give_back(now=NOON)

    shop.give_back(now=NOON + SEND_AGAIN_FOR)
    shop.give_back(now=NOON + SEND_AGAIN_FOR + AFTER_REFUSALS[0])

    assert gateway.given_back() == {f"refund:{owed}:1:2": 6000}
    assert [it.state for it in shop.refunds(owed)] == ["failed", "succeeded"]


def test_a_refund_whose_call_breaks_wears_out(shop: Shop, gateway: FakeGateway, owed: int) -> None:
    gateway.break_on(f"refund:{owed}:1:1")

    for n in range(MOST_TRIES + 2):
        shop.give_back(now=NOON + n * LEASE)

    refund = shop.refund(owed)
    assert (refund.state, refund.due_at) == ("unknown", None)
    assert len(gateway.asked) == MOST_TRIES - 1


def test_a_worker_that_dies_after_the_refund_gives_it_once(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    refund = shop.refund(owed)
    request = RefundRequest(refund.key, refund.charge_id, refund.amount_minor, refund.currency)
    gateway.refund(request)

    shop.give_back()

    assert gateway.given_back() == {refund.key: 6000}
    assert shop.status(owed) == "refunded"


def test_refunds_of_another_gateway_are_left_alone(shop: Shop, owed: int) -> None:
    other = FakeGateway()
    other.name = "another"

    done = Shop(shop.database, other).give_back()

    assert (done, other.sent) == (0, [])


def test_a_full_batch_calls_for_help(shop: Shop, gateway: FakeGateway) -> None:
    for _ in range(3):
        _owed(shop)
    gateway.max_in_flight, shop.rung = 2, 0

    done = [shop.give_back(), shop.give_back()]

    assert (done, shop.rung) == ([2, 1], 1)


def test_two_workers_at_once_give_each_refund_once(busy_shop: Shop, gateway: FakeGateway) -> None:
    owed = [_owed(busy_shop) for _ in range(10)]

    at_once([busy_shop.give_back] * 2)

    assert gateway.given_back() == {f"refund:{order}:1:1": 6000 for order in owed}
    assert len(gateway.sent) == 20
    assert {busy_shop.status(order) for order in owed} == {"refunded"}


def test_a_refund_that_is_being_claimed_is_skipped(busy_shop: Shop) -> None:
    owed = _owed(busy_shop)
    with busy_shop.database.sessions.begin() as holder:
        holder.get(Refund, busy_shop.refund(owed).id, with_for_update=True)

        meanwhile = busy_shop.give_back()

    assert (meanwhile, busy_shop.give_back()) == (0, 1)


def test_a_refund_under_way_is_not_taken_by_another_worker(
    busy_shop: Shop, gateway: FakeGateway
) -> None:
    owed = _owed(busy_shop)
    answered = gateway.hold(f"refund:{owed}:1:1")
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(busy_shop.give_back)
        try:
            eventually(lambda: busy_shop.refund(owed).state == "sending")
            second = busy_shop.give_back()
        finally:
            answered.set()

    assert (second, first.result()) == (0, 1)


def test_an_answer_after_the_lease_was_lost_writes_nothing(
    busy_shop: Shop, gateway: FakeGateway
) -> None:
    owed = _owed(busy_shop)
    answered = gateway.hold(f"refund:{owed}:1:1")
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(busy_shop.give_back)
        try:
            eventually(lambda: busy_shop.refund(owed).state == "sending")
            busy_shop.give_back(now=NOON + LEASE)
            before = busy_shop.snapshot()
        finally:
            answered.set()

    assert first.result() == 0
    assert busy_shop.snapshot() == before


def test_a_refund_whose_failure_the_gateway_keeps_is_found(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.lose_next_answer()
    shop.give_back(now=NOON)
    gateway.answer_next(Unknown("the gateway answered 500"), times=100)

    shop.give_back(now=NOON + AGAIN_AFTER)

    assert shop.status(owed) == "refunded"


def test_a_refund_that_is_not_found_is_sent_again(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.answer_next(Unknown("ReadTimeout"))
    shop.give_back(now=NOON)

    shop.give_back(now=NOON + AGAIN_AFTER)

    assert gateway.asked == [f"refund:{owed}:1:1"]
    assert gateway.given_back() == {f"refund:{owed}:1:1": 6000}


def test_an_unknown_refund_that_cannot_be_sent_again_stays_unknown(
    shop: Shop, gateway: FakeGateway, owed: int
) -> None:
    gateway.answer_next(Unknown("ReadTimeout"))
    shop.give_back(now=NOON)
    gateway.answer_next(NotSent("ConnectError"))

    shop.give_back(now=NOON + AGAIN_AFTER)

    assert shop.refund(owed).state == "unknown"


def _owed(shop: Shop) -> int:
    product = shop.sell()
    order_id = shop.paid({product: 1})
    shop.withdraw(product)
    shop.fulfil()
    return order_id
