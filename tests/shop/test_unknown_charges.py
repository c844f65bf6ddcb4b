"""A charge that nobody knows of keeps its key and its stock until the gateway has been asked."""

from datetime import timedelta

import pytest

from shop import backlog
from shop.claiming import LEASE
from shop.doubts import SEND_AGAIN_AFTER, next_check
from shop.gateways.protocol import (
    Answer,
    Declined,
    Missing,
    NotSent,
    Succeeded,
    Unknown,
    Unlisted,
)
from tests.shop.stage import NOON, Level, Shop, Statements, as_told
from tests.support.gateway import FakeGateway

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
TIMEOUT = Unknown("ReadTimeout")


@pytest.fixture
def doubtful(shop: Shop, gateway: FakeGateway) -> int:
    """An order whose charge was sent at noon, was made, and whose answer was lost."""
    order_id = shop.place_one()
    gateway.lose_next_answer()
    shop.settle(now=NOON)
    return order_id


@pytest.fixture
def uncharged(shop: Shop, gateway: FakeGateway) -> int:
    """An order whose charge was sent at noon, was not made, and was not answered."""
    order_id = shop.place_one()
    gateway.answer_next(TIMEOUT)
    shop.settle(now=NOON)
    return order_id


@pytest.mark.parametrize(
    ("since_sent", "next_since_sent"),
    [
        (timedelta(0), 30 * SECOND),
        (29 * SECOND, 30 * SECOND),
        (30 * SECOND, 2 * MINUTE),
        (2 * MINUTE, 10 * MINUTE),
        (10 * MINUTE, HOUR),
        (HOUR, 6 * HOUR),
        (6 * HOUR, 18 * HOUR),
        (18 * HOUR, 30 * HOUR),
        (5 * HOUR, 6 * HOUR),
    ],
)
def test_checks_become_rarer(since_sent: timedelta, next_since_sent: timedelta) -> None:
    assert next_check(NOON, NOON + since_sent) == NOON + next_since_sent


def test_charges_in_doubt_and_those_not_taken_are_counted(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    for _ in range(2):
        shop.place_one()
    gateway.answer_next(NotSent("ConnectError"), times=2)
    shop.settle()

    with shop.database.reads() as session:
        counted = backlog.count_unknown(session), backlog.count_unsent(session)

    assert counted == (1, 2)


def test_an_unknown_charge_is_looked_at_again_half_a_minute_later(
    shop: Shop, doubtful: int
) -> None:
    payment, attempt = shop.payment(doubtful), shop.attempt(doubtful)

    assert (shop.status(doubtful), attempt.state) == ("payment_unknown", "unknown")
    assert (payment.due_at, payment.lease_token) == (NOON + 30 * SECOND, None)


def test_stock_of_an_unknown_charge_stays_held(shop: Shop, gateway: FakeGateway) -> None:
    product = shop.sell(quantity=10)
    order_id = int(shop.place({product: 4})["id"])
    gateway.answer_next(TIMEOUT)

    shop.settle()

    assert shop.level(product) == Level(on_hand=10, reserved=4)
    assert shop.reservations(order_id) == {product: "held"}


def test_an_unknown_charge_is_told_as_it_stands_in_the_database(shop: Shop, doubtful: int) -> None:
    order, payment = shop.order(doubtful), shop.payment_document(doubtful)

    told_of_order = shop.told(f"orders/{doubtful}")[-1]
    (told_of_payment,) = shop.told(f"payments/{payment['id']}")

    assert (told_of_order.type, told_of_order.data) == ("order.payment_unknown", as_told(order))
    assert (told_of_payment.type, told_of_payment.data) == ("payment.unknown", as_told(payment))


@pytest.mark.parametrize("answer", [TIMEOUT, NotSent("ConnectError"), Declined("no"), Missing()])
def test_an_outage_costs_as_many_statements_for_many_orders_as_for_a_few(
    shop: Shop, answer: Answer | Missing
) -> None:
    product = shop.sell(quantity=30)
    for _ in range(24):
        shop.place({product: 1})
    claims = shop.claim()
    sent = Statements(shop.database)

    shop.write_all(claims[:4], answer)
    few = sent.count
    shop.write_all(claims[4:], answer)

    assert sent.count - few <= few


def test_an_unknown_charge_is_not_touched_before_its_check(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    shop.settle(now=NOON + 29 * SECOND)

    assert gateway.asked == []
    assert shop.status(doubtful) == "payment_unknown"


def test_a_charge_that_is_found_is_paid_without_being_sent_again(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    shop.settle(now=NOON + 30 * SECOND)

    assert shop.status(doubtful) == "paid"
    assert (gateway.sent, gateway.asked) == ([f"{doubtful}:1"], [f"{doubtful}:1"])
    assert shop.ledger(doubtful)[(f"{doubtful}:1", "gateway:fake")] == 6000


def test_a_charge_that_is_found_is_told_as_it_stands_in_the_database(
    shop: Shop, doubtful: int
) -> None:
    shop.settle(now=NOON + 30 * SECOND)

    shown = shop.payment_document(doubtful)
    told = shop.told(f"payments/{shown['id']}")[-1]
    assert (told.type, told.version, told.data) == ("payment.succeeded", 2, as_told(shown))
    assert shop.told(f"orders/{doubtful}")[-1].data == as_told(shop.order(doubtful))


def test_a_charge_that_is_not_found_is_sent_again_under_its_key(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    shop.settle(now=NOON + 30 * SECOND)

    assert shop.status(uncharged) == "paid"
    assert gateway.sent == [f"{uncharged}:1"] * 2
    assert gateway.captured() == {f"{uncharged}:1": 6000}


def test_a_charge_that_the_gateways_search_does_not_show_yet_is_not_taken_twice(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    gateway.find_next(Missing())

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.status(doubtful) == "paid"
    assert gateway.captured() == {f"{doubtful}:1": 6000}


def test_a_charge_sent_again_may_be_declined(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    gateway.answer_next(Declined("expired_card"))

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.status(uncharged) == "payment_failed"
    assert shop.attempt(uncharged).state == "declined"


def test_a_charge_sent_again_without_an_answer_waits_for_the_next_check(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    gateway.answer_next(TIMEOUT)

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.payment(uncharged).due_at == NOON + 2 * MINUTE


def test_a_charge_that_could_not_be_sent_again_is_asked_for_first_the_next_time(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    gateway.answer_next(NotSent("ConnectError"))
    shop.settle(now=NOON + 30 * SECOND)

    shop.settle(now=NOON + 30 * SECOND + SEND_AGAIN_AFTER)

    assert shop.status(uncharged) == "paid"
    assert gateway.asked == [f"{uncharged}:1"] * 2


def test_a_look_up_without_an_answer_waits_for_the_next_check(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    gateway.find_next(Unknown("look-up failed"))

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.payment(doubtful).due_at == NOON + 2 * MINUTE
    assert gateway.sent == [f"{doubtful}:1"]


def test_a_doubt_that_lasts_is_told_once(shop: Shop, gateway: FakeGateway, doubtful: int) -> None:
    before = shop.payment_document(doubtful)
    gateway.find_next(Unknown("another reason"))

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.payment_document(doubtful) == before
    assert shop.told_types(f"payments/{before['id']}") == ["payment.unknown"]


def test_checks_wear_no_payment_out(shop: Shop, gateway: FakeGateway, doubtful: int) -> None:
    for _ in range(20):
        gateway.find_next(Unknown("look-up failed"))

    for n in range(20):
        shop.settle(now=NOON + n * HOUR)

    assert shop.attempt(doubtful).state == "unknown"


def test_a_claim_of_a_dead_worker_is_in_doubt_while_the_gateway_is_away(
    shop: Shop, gateway: FakeGateway
) -> None:
    order_id = shop.place_one()
    shop.claim(now=NOON)
    gateway.find_next(Unknown("look-up failed"))

    shop.settle(now=NOON + LEASE)

    assert shop.status(order_id) == "payment_unknown"
    assert gateway.sent == []


@pytest.mark.parametrize(
    ("since_sent", "sendings"), [(20 * HOUR - SECOND, 2), (20 * HOUR, 1), (30 * HOUR, 1)]
)
def test_a_charge_is_only_looked_for_once_keys_may_be_forgotten(
    shop: Shop, gateway: FakeGateway, uncharged: int, since_sent: timedelta, sendings: int
) -> None:
    shop.settle(now=NOON + since_sent)

    assert len(gateway.sent) == sendings


def test_a_charge_missing_once_stays_in_doubt_for_an_hour(shop: Shop, uncharged: int) -> None:
    shop.settle(now=NOON + 20 * HOUR)

    assert shop.status(uncharged) == "payment_unknown"
    assert shop.payment(uncharged).due_at == NOON + 21 * HOUR


def test_a_charge_missing_twice_an_hour_apart_has_failed(shop: Shop, uncharged: int) -> None:
    shop.settle(now=NOON + 20 * HOUR)

    shop.settle(now=NOON + 21 * HOUR)

    assert shop.status(uncharged) == "payment_failed"
    assert set(shop.reservations(uncharged).values()) == {"released"}
    assert shop.payment(uncharged).due_at is None


def test_a_failed_charge_is_told_as_it_stands_in_the_database(shop: Shop, uncharged: int) -> None:
    shop.settle(now=NOON + 20 * HOUR)

    shop.settle(now=NOON + 21 * HOUR)

    shown = shop.payment_document(uncharged)
    told = shop.told(f"payments/{shown['id']}")[-1]
    assert (told.type, told.data) == ("payment.failed", as_told(shown))
    assert shop.told_types(f"orders/{uncharged}")[-1] == "order.payment_failed"


def test_a_charge_that_turns_up_after_it_was_missing_is_paid(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    gateway.find_next(Missing())
    shop.settle(now=NOON + 20 * HOUR)

    shop.settle(now=NOON + 21 * HOUR)

    assert shop.status(doubtful) == "paid"


def test_three_days_of_doubt_are_held_for_a_person(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    gateway.find_next(Unknown("look-up failed"))

    shop.settle(now=NOON + 72 * HOUR)

    shown = shop.payment_document(doubtful)
    told = shop.told(f"payments/{shown['id']}")[-1]
    assert (shown["outcome"], shop.payment(doubtful).due_at) == ("needs_human", None)
    assert (told.type, told.data) == ("payment.needs_human", as_told(shown))


def test_what_is_held_for_a_person_is_left_alone(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    gateway.find_next(Unknown("look-up failed"))
    shop.settle(now=NOON + 72 * HOUR)
    before = shop.snapshot()

    shop.settle(now=NOON + 1000 * HOUR)

    assert shop.snapshot() == before


def test_a_wrong_amount_is_never_taken_for_paid(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one(token="tok_wrong_amount")

    for n in range(4):
        shop.settle(now=NOON + n * 24 * HOUR)

    assert shop.status(order_id) == "payment_unknown"
    assert shop.payment_document(order_id)["outcome"] == "needs_human"
    assert gateway.sent == [f"{order_id}:1"]
    assert shop.ledger(order_id) == {}


def test_a_success_without_an_answer_is_not_lost_over_the_look_up(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    gateway.find_next(Succeeded("ch_late"))

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.payment_document(uncharged)["charge_id"] == "ch_late"


def test_an_id_that_comes_with_the_doubt_is_kept(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()
    gateway.answer_next(Unknown("processing", charge_id="pi_1"))

    shop.settle(now=NOON)

    assert shop.attempt(order_id).charge_id == "pi_1"
    assert shop.status(order_id) == "payment_unknown"


def test_an_id_that_becomes_known_later_is_told(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    gateway.find_next(Unknown("processing", charge_id="pi_1"))

    shop.settle(now=NOON + 30 * SECOND)

    shown = shop.payment_document(doubtful)
    told = shop.told(f"payments/{shown['id']}")
    assert [event.type for event in told] == ["payment.unknown"] * 2
    assert (told[-1].data, shown["charge_id"]) == (as_told(shown), "pi_1")


def test_an_id_of_another_orders_charge_is_not_kept(shop: Shop, gateway: FakeGateway) -> None:
    first = shop.place_one()
    shop.settle(now=NOON)
    second = shop.place_one()
    taken = shop.attempt(first).charge_id
    gateway.answer_next(Unknown("another amount", charge_id=taken))

    shop.settle(now=NOON)

    assert (shop.status(second), shop.attempt(second).charge_id) == ("payment_unknown", None)


def test_a_charge_found_declined_ends_the_order(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    gateway.find_next(Declined("authentication_required"))

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.status(uncharged) == "payment_failed"


def test_a_silent_search_lets_the_charge_be_sent_again(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    gateway.find_next(Unlisted())

    shop.settle(now=NOON + 30 * SECOND)

    assert shop.status(uncharged) == "paid"
    assert gateway.captured() == {f"{uncharged}:1": 6000}


def test_a_silent_search_never_ends_an_order(
    shop: Shop, gateway: FakeGateway, uncharged: int
) -> None:
    for hours in (20, 21, 33, 45):
        gateway.find_next(Unlisted())
        shop.settle(now=NOON + hours * HOUR)

    assert (shop.status(uncharged), shop.attempt(uncharged).state) == ("payment_unknown", "unknown")
