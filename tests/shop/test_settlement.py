"""A due payment is claimed, charged and settled, by one worker at a time."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from shop import settlement
from shop.claiming import LEASE, MOST_TRIES
from shop.doubts import SEND_AGAIN_AFTER
from shop.gateways.protocol import Declined, Missing, NotSent, Succeeded, Unknown
from tests.shop.stage import NOON, Level, Shop, as_told
from tests.support.gateway import FakeGateway


def test_a_due_payment_is_paid(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()

    settled = shop.settle()

    assert settled == 1
    assert shop.status(order_id) == "paid"
    assert gateway.captured() == {f"{order_id}:1": 6000}


def test_a_payment_leaves_its_attempt_on_record(shop: Shop) -> None:
    order_id = shop.place_one()

    shop.settle()

    attempt = shop.attempt(order_id)
    assert (attempt.n, attempt.key, attempt.state) == (1, f"{order_id}:1", "succeeded")
    assert attempt.charge_id == f"ch_{order_id}:1"
    assert attempt.first_sent_at == NOON


def test_a_payment_is_booked_on_both_sides(shop: Shop) -> None:
    order_id = shop.place_one()

    shop.settle()

    txn = f"{order_id}:1"
    assert shop.ledger(order_id) == {(txn, "gateway:fake"): 6000, (txn, "sales"): -6000}


def test_a_paid_order_is_told_as_it_stands_in_the_database(shop: Shop) -> None:
    order_id = shop.place_one()

    shop.settle()

    told = shop.told(f"orders/{order_id}")[-1]
    assert (told.type, told.version) == ("order.paid", 2)
    assert told.data == as_told(shop.order(order_id))


def test_a_payment_is_told_as_it_stands_in_the_database(shop: Shop) -> None:
    order_id = shop.place_one()

    shop.settle()

    shown = shop.payment_document(order_id)
    (told,) = shop.told(f"payments/{shown['id']}")
    assert (told.type, told.version) == ("payment.succeeded", 1)
    assert told.data == as_told(shown)


def test_stock_of_a_paid_order_stays_held(shop: Shop) -> None:
    product = shop.sell(quantity=10)

    order_id = shop.paid({product: 4})

    assert shop.level(product) == Level(on_hand=10, reserved=4)
    assert shop.reservations(order_id) == {product: "held"}


def test_a_paid_order_waits_for_its_fulfilment(shop: Shop) -> None:
    order_id = shop.place_one()

    shop.settle()

    payment = shop.payment(order_id)
    assert (payment.state, payment.due_at, payment.fulfil_at) == ("settled", None, NOON)


def test_a_second_run_finds_nothing_due(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()
    shop.settle()
    before = shop.snapshot()

    settled = shop.settle(now=NOON + timedelta(days=1))

    assert settled == 0
    assert gateway.sent == [f"{order_id}:1"]
    assert shop.snapshot() == before


def test_a_payment_is_not_taken_before_it_is_due(shop: Shop, gateway: FakeGateway) -> None:
    order = shop.place({shop.sell(): 1})

    shop.settle(now=order["created_at"] - timedelta(seconds=1))

    assert gateway.sent == []


def test_payments_of_another_gateway_are_left_alone(shop: Shop) -> None:
    order_id = shop.place_one()
    other = FakeGateway()
    other.name = "another"

    Shop(shop.database, other).settle()

    assert other.sent == []
    assert shop.status(order_id) == "pending"


def test_a_declined_card_ends_the_order_and_frees_its_stock(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    order_id = int(shop.place({product: 4}, token="tok_insufficient_funds")["id"])

    shop.settle()

    assert shop.status(order_id) == "payment_failed"
    assert shop.level(product) == Level(on_hand=10, reserved=0)
    assert shop.reservations(order_id) == {product: "released"}


def test_a_declined_card_is_told_with_its_reason(shop: Shop) -> None:
    order_id = shop.place_one(token="tok_insufficient_funds")

    shop.settle()

    shown = shop.payment_document(order_id)
    (told,) = shop.told(f"payments/{shown['id']}")
    assert (told.type, told.data["reason"]) == ("payment.declined", "insufficient_funds")
    assert told.data == as_told(shown)
    assert shop.told_types(f"orders/{order_id}") == ["order.placed", "order.payment_failed"]


def test_a_declined_card_is_never_tried_again(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one(token="tok_declined")
    shop.settle()

    shop.settle(now=NOON + timedelta(days=30))

    assert gateway.sent == [f"{order_id}:1"]
    assert shop.ledger(order_id) == {}


def test_a_reason_longer_than_its_column_does_not_stop_the_group(
    shop: Shop, gateway: FakeGateway
) -> None:
    gateway.answer_next(Declined("x" * 5000))
    orders = [shop.place_one() for _ in range(3)]

    shop.settle()

    assert sorted(map(shop.status, orders)) == ["paid", "paid", "payment_failed"]


@pytest.mark.parametrize("at_once", [1, 5], ids=["while more is claimed", "alone"])
def test_a_charge_id_used_before_leaves_only_its_own_order_in_doubt(
    shop: Shop, gateway: FakeGateway, at_once: int
) -> None:
    gateway.max_in_flight = at_once
    first = shop.place_one()
    shop.settle()
    later = [shop.place_one() for _ in range(3)]
    gateway.answer_next(Succeeded(f"ch_{first}:1"))

    settled = shop.settle()

    assert settled == 2
    assert shop.status(first) == "paid"
    assert sorted(map(shop.status, later)) == ["paid", "paid", "payment_unknown"]


def test_one_charge_id_for_two_orders_pays_one_of_them(shop: Shop, gateway: FakeGateway) -> None:
    orders = [shop.place_one() for _ in range(2)]
    gateway.answer_next(Succeeded("ch_same"), times=2)

    shop.settle()

    assert sorted(map(shop.status, orders)) == ["paid", "payment_unknown"]


def test_a_refused_connection_makes_the_payment_due_again_soon(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    gateway.answer_next(NotSent("ConnectError"))

    shop.settle()

    payment, attempt = shop.payment(order_id), shop.attempt(order_id)
    assert (shop.status(order_id), attempt.state, attempt.first_sent_at) == (
        "pending",
        "created",
        None,
    )
    assert (payment.due_at, payment.lease_token) == (NOON + SEND_AGAIN_AFTER, None)


def test_a_refused_connection_counts_as_no_try(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()
    gateway.answer_next(NotSent("ConnectError"), times=MOST_TRIES + 5)

    for n in range(MOST_TRIES + 5):
        shop.settle(now=NOON + n * SEND_AGAIN_AFTER)

    assert shop.payment(order_id).tries == 0
    assert shop.attempt(order_id).state == "created"
    assert [call["reason"] for call in shop.timeline(order_id)["gateway_calls"]] == ["ConnectError"]


def test_each_reason_why_a_charge_was_not_sent_is_written_down(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    for n, reason in enumerate(["ConnectError", "answered 429", "ConnectError"]):
        gateway.answer_next(NotSent(reason), times=2)
        shop.settle(now=NOON + 2 * n * SEND_AGAIN_AFTER)
        shop.settle(now=NOON + (2 * n + 1) * SEND_AGAIN_AFTER)

    reasons = [call["reason"] for call in shop.timeline(order_id)["gateway_calls"]]

    assert reasons == ["ConnectError", "answered 429", "ConnectError"]


def test_what_was_not_sent_is_sent_later_under_the_same_key(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    gateway.answer_next(NotSent("the gateway answered 429"))
    shop.settle()

    shop.settle(now=NOON + SEND_AGAIN_AFTER)

    assert shop.status(order_id) == "paid"
    assert gateway.sent == [f"{order_id}:1"] * 2
    assert gateway.asked == []


def test_a_run_that_ends_without_an_outcome_is_taken_up_after_its_lease(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    shop.claim(now=NOON)

    too_early = shop.settle(now=NOON + LEASE - timedelta(seconds=1))
    in_time = shop.settle(now=NOON + LEASE)

    assert (too_early, in_time) == (0, 1)
    assert gateway.captured() == {f"{order_id}:1": 6000}


@pytest.mark.parametrize("runs_before", [0, 1])
def test_a_payment_whose_turn_comes_too_late_for_its_lease_is_given_back_untouched(
    shop: Shop, gateway: FakeGateway, runs_before: int
) -> None:
    order_id = shop.place_one()
    for n in range(runs_before):
        shop.claim(now=NOON + n * LEASE)
    now = NOON + runs_before * LEASE
    (claim,) = shop.claim(now=now)

    answer = settlement.ask(gateway, replace(claim, send_by_s=time.monotonic()))
    shop.write(claim, answer, now=now)

    payment = shop.payment(order_id)
    assert (gateway.sent, gateway.asked) == ([], [])
    assert (payment.due_at, payment.lease_token, payment.tries) == (now + SEND_AGAIN_AFTER, None, 0)
    assert shop.settle(now=now + SEND_AGAIN_AFTER) == 1
    assert gateway.captured() == {f"{order_id}:1": 6000}


def test_a_worker_that_dies_after_the_charge_charges_once(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()
    (claim,) = shop.claim(now=NOON)
    gateway.charge(claim.request)

    shop.settle(now=NOON + LEASE)

    assert shop.status(order_id) == "paid"
    assert gateway.asked == [f"{order_id}:1"]
    assert gateway.captured() == {f"{order_id}:1": 6000}


def test_a_charge_that_the_look_up_does_not_show_yet_is_sent_again_under_its_key(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    (claim,) = shop.claim(now=NOON)
    gateway.charge(claim.request)
    gateway.find_next(Missing())

    shop.settle(now=NOON + LEASE)

    assert shop.status(order_id) == "paid"
    assert gateway.sent == [f"{order_id}:1"] * 2
    assert gateway.captured() == {f"{order_id}:1": 6000}


def test_a_payment_that_wears_out_ten_runs_is_held_for_a_person(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    for n in range(MOST_TRIES):
        shop.claim(now=NOON + n * LEASE)

    shop.settle(now=NOON + MOST_TRIES * LEASE)

    shown = shop.payment_document(order_id)
    (told,) = shop.told(f"payments/{shown['id']}")
    assert (shown["outcome"], shop.payment(order_id).due_at) == ("needs_human", None)
    assert (told.type, told.data) == ("payment.needs_human", as_told(shown))
    assert gateway.sent == []


def test_a_call_that_breaks_is_a_try_and_delays_nobody(shop: Shop, gateway: FakeGateway) -> None:
    broken, healthy = shop.place_one(), shop.place_one()
    gateway.break_on(f"{broken}:1")

    for n in range(MOST_TRIES):
        shop.settle(now=NOON + n * LEASE)
    tried = shop.payment(broken).tries
    shop.settle(now=NOON + MOST_TRIES * LEASE)

    assert (shop.status(healthy), tried) == ("paid", MOST_TRIES)
    assert shop.payment_document(broken)["outcome"] == "needs_human"
    assert gateway.captured() == {f"{healthy}:1": 6000}


def test_stock_of_a_payment_held_for_a_person_stays_held(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    shop.place({product: 4})
    for n in range(MOST_TRIES + 1):
        shop.claim(now=NOON + n * LEASE)

    assert shop.level(product) == Level(on_hand=10, reserved=4)


def test_a_worn_payment_does_not_keep_others_waiting(shop: Shop) -> None:
    shop.place_one()
    for n in range(MOST_TRIES):
        shop.claim(now=NOON + n * LEASE)
    healthy = shop.place_one()

    shop.settle(now=NOON + MOST_TRIES * LEASE)

    assert shop.status(healthy) == "paid"


@pytest.mark.parametrize(
    "answer", [Succeeded("ch_99"), Declined("late"), Unknown("late"), NotSent("late"), Missing()]
)
def test_an_answer_after_the_lease_was_lost_writes_nothing(
    shop: Shop, answer: Succeeded | Declined | Unknown | NotSent | Missing
) -> None:
    shop.place_one()
    (claim,) = shop.claim(token="the stopped one", now=NOON)
    shop.settle(now=NOON + LEASE)
    before = shop.snapshot()

    settled = shop.write(claim, answer, token="the stopped one", now=NOON + 2 * LEASE)

    assert settled == 0
    assert shop.snapshot() == before


def test_an_answer_settled_twice_is_booked_once(shop: Shop) -> None:
    order_id = shop.place_one()
    (claim,) = shop.claim(token="mine")

    settled = [shop.write(claim, Succeeded("ch_1"), token="mine") for _ in range(2)]

    assert settled == [1, 0]
    assert len(shop.ledger(order_id)) == 2
