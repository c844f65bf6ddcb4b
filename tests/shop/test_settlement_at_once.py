"""Settlers beside each other and gateways that take their time: each payment is charged once."""

from concurrent.futures import ThreadPoolExecutor

from shop import claiming
from shop.claiming import LEASE
from shop.gateways.protocol import Succeeded
from tests.shop.stage import NOON, Shop, at_once
from tests.support.gateway import FakeGateway
from tests.support.processes import eventually


def test_a_full_batch_calls_for_help_and_goes_on(shop: Shop, gateway: FakeGateway) -> None:
    # One, then two at once: how answers come in groups changes nothing here.
    gateway.max_in_flight = 1
    orders = [shop.place_one() for _ in range(3)]

    settled = shop.settle()

    assert settled == 3
    assert shop.rung == 2
    assert set(map(shop.status, orders)) == {"paid"}


def test_a_claim_is_never_larger_than_the_gateway_takes_at_once(
    shop: Shop, gateway: FakeGateway
) -> None:
    gateway.max_in_flight = 3
    orders = [shop.place_one() for _ in range(4)]
    gates = [gateway.hold(f"{order}:1") for order in orders]
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(shop.settle)

        eventually(lambda: shop.payment(orders[2]).lease_token)
        fourth = shop.payment(orders[3]).lease_token
        for gate in gates:
            gate.set()

    assert fourth is None
    assert run.result() == 4


def test_a_slow_call_delays_only_itself(busy_shop: Shop, gateway: FakeGateway) -> None:
    gateway.max_in_flight = 2
    slow, *quick = [busy_shop.place_one() for _ in range(6)]
    answered = gateway.hold(f"{slow}:1")
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(busy_shop.settle)
        try:
            eventually(lambda: {busy_shop.status(order) for order in quick} == {"paid"})
            meanwhile = busy_shop.status(slow)
        finally:
            answered.set()

    assert meanwhile == "pending"
    assert run.result() == 6
    assert busy_shop.status(slow) == "paid"


def test_two_hundred_payments_are_charged_once_by_two_settlers_at_once(
    busy_shop: Shop, gateway: FakeGateway
) -> None:
    gateway.max_in_flight = 20
    product = busy_shop.sell(quantity=200)
    orders = [int(busy_shop.place({product: 1})["id"]) for _ in range(200)]

    at_once([busy_shop.settle, busy_shop.settle])

    assert gateway.captured() == {f"{order}:1": 6000 for order in orders}
    assert sorted(gateway.sent) == sorted(f"{order}:1" for order in orders)
    assert {busy_shop.status(order) for order in orders} == {"paid"}


def test_payments_that_are_being_claimed_are_skipped(busy_shop: Shop, hurried_shop: Shop) -> None:
    order_id = busy_shop.place_one()
    with busy_shop.database.sessions.begin() as session:
        claims = claiming.claim(session, token="mine", limit=200, gateway="fake", now=NOON)

        others = busy_shop.claim()

    assert [claim.order_id for claim in claims] == [order_id]
    assert others == []


def test_a_claim_goes_on_behind_what_others_are_claiming(busy_shop: Shop) -> None:
    first, second, third, fourth = (busy_shop.place_one() for _ in range(4))
    with busy_shop.database.sessions() as one, busy_shop.database.sessions() as other:
        claims = [
            claiming.claim(session, token="any", limit=2, gateway="fake", now=NOON)
            for session in (one, other)
        ]

    assert [[claim.order_id for claim in some] for some in claims] == [
        [first, second],
        [third, fourth],
    ]


def test_a_settlement_does_not_wait_for_a_claim(busy_shop: Shop, hurried_shop: Shop) -> None:
    settled, claimed = busy_shop.place_one(), busy_shop.place_one()
    with busy_shop.database.sessions.begin() as session:
        mine = claiming.claim(session, token="mine", limit=1, gateway="fake", now=NOON)
    with busy_shop.database.sessions.begin() as session:
        others = claiming.claim(session, token="others", limit=1, gateway="fake", now=NOON)

        count = hurried_shop.write(mine[0], Succeeded("ch_1"), token="mine")

    assert count == 1
    assert [claim.order_id for claim in (*mine, *others)] == [settled, claimed]


def test_no_transaction_is_open_while_the_gateway_is_called(
    busy_shop: Shop, gateway: FakeGateway
) -> None:
    order_id = busy_shop.place_one()
    answered = gateway.hold(f"{order_id}:1")
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(busy_shop.settle)
        try:
            eventually(lambda: busy_shop.payment(order_id).lease_token)
            claims = busy_shop.claim(now=NOON + LEASE)
        finally:
            answered.set()

    assert [claim.order_id for claim in claims] == [order_id]
    assert run.result() == 0
