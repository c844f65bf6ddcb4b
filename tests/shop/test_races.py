"""Buyers, the clock and settlers after the same orders at once: each order ends in one way only.

On MariaDB, where rows are locked one by one. The judge is the gateway's own ledger.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import orjson
import pytest

from shop.gateways.protocol import ChargeRequest, NotSent
from tests.shop.stage import NOON, Shop, at_once
from tests.support import invariants
from tests.support.gateway import FakeGateway
from tests.support.processes import eventually

ORDERS = 16
# Longer than every lease and first check: what is in doubt is looked for by then.
LATER = timedelta(minutes=3)


def expire(shop: Shop, _order_id: int) -> None:
    """End all that is overdue, which is everything, once some of it is being paid for."""
    gateway = shop.gateway
    assert isinstance(gateway, FakeGateway)
    eventually(lambda: gateway.sent)
    shop.expire(now=NOON)


def cancel(shop: Shop, order_id: int) -> None:
    """Cancel one order."""
    shop.cancel(order_id)


def amend(shop: Shop, order_id: int) -> None:
    """Let one order be about one piece instead of two."""
    shop.amend(order_id, {_product_of(shop, order_id): 1})


@pytest.mark.parametrize("disturb", [expire, cancel, amend])
def test_an_order_is_settled_or_ended_but_never_both(
    busy_shop: Shop, gateway: FakeGateway, disturb: Callable[[Shop, int], None]
) -> None:
    orders = _orders(busy_shop)
    gateway.max_in_flight, gateway.takes_s = 3, 0.1
    for _ in range(ORDERS // 4):
        gateway.lose_next_answer()

    settlers: list[Callable[[], object]] = [partial(busy_shop.settle, now=NOON)] * 2
    disturbers: list[Callable[[], object]] = [
        partial(disturb, busy_shop, order_id) for order_id in orders
    ]
    at_once(settlers + disturbers)

    _finish(busy_shop, gateway)
    _check(busy_shop, gateway, orders)


def test_charges_that_turn_up_after_the_end_are_sold_again_or_given_back(
    busy_shop: Shop, gateway: FakeGateway
) -> None:
    orders = _orders(busy_shop)
    gateway.answer_next(NotSent("refused"), times=ORDERS)
    busy_shop.settle(now=NOON)
    busy_shop.expire(now=NOON)
    busy_shop.move(_product_of(busy_shop, orders[0]), -ORDERS)
    for order_id in orders:
        document = orjson.loads(busy_shop.attempt(order_id).request)
        gateway.charge(ChargeRequest.from_document(document))

    told: list[Callable[[], object]] = [
        partial(busy_shop.look_again, order_id, now=NOON + LATER) for order_id in orders
    ]
    settlers: list[Callable[[], object]] = [partial(busy_shop.settle, now=NOON + LATER)] * 3
    at_once(told + settlers)

    _finish(busy_shop, gateway)
    _check(busy_shop, gateway, orders)
    ends = [busy_shop.status(order_id) for order_id in orders]
    assert (ends.count("completed"), ends.count("refunded")) == (ORDERS // 2, ORDERS // 2)


def _orders(shop: Shop) -> list[int]:
    product = shop.sell(quantity=2 * ORDERS)
    return [int(shop.place({product: 2})["id"]) for _ in range(ORDERS)]


def _product_of(shop: Shop, order_id: int) -> int:
    return int(shop.order(order_id)["items"][0]["product_id"])


def _finish(shop: Shop, gateway: FakeGateway) -> None:
    gateway.forget_orders()
    for n in range(1, 4):
        at = NOON + n * LATER
        shop.settle(now=at)
        shop.fulfil(now=at)
        shop.give_back(now=at)


def _check(shop: Shop, gateway: FakeGateway, orders: list[int]) -> None:
    invariants.check_orders(shop.database, orders)
    invariants.check_money(shop.database, gateway.ledger())
    invariants.check_stock(shop.database)
    invariants.check_payloads(shop.database)
    invariants.check_nothing_claimed(shop.database)
