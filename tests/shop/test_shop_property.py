"""Whatever happens to orders, in whatever order: a simple model says what must come of it.

Hypothesis plays buyers, operators, workers, a clock and a gateway that says yes, no, nothing at
all or the truth too late. The model knows stock and money only; the gateway's books are the judge.
A product that is withdrawn makes room for the next, so that orders of both are under way at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from infra.db import Database
from infra.errors import Conflict, Invalid
from shop.gateways.protocol import Answer, Declined, Found, Missing, NotSent, Unknown
from shop.ledger import Entry
from shop.movements import Reason
from shop.orders import OrderStatus
from shop.stock import OutOfStock, StockReserved
from tests.shop.stage import NOON, TTL, Shop
from tests.support.gateway import FakeGateway
from tests.support.invariants import FINAL

STOCK = 8
MOST_PRODUCTS = 4
PRICE = 6000
TOKENS = st.sampled_from(["tok_visa", "tok_visa", "tok_declined", "tok_500"])
PICK = st.integers(min_value=0, max_value=99)
_ANSWERS: Mapping[str, Answer] = {
    "refused": NotSent("refused"),
    "declined": Declined("balance_insufficient"),
    "unclear": Unknown("ReadTimeout"),
}
_LOOK_UPS: Mapping[str, Found] = {"lagging": Missing(), "blind": Unknown("look-up failed")}


@dataclass(frozen=True)
class _Order:
    """What the model knows of an order."""

    product: int
    quantity: int


class _Trade(RuleBasedStateMachine):
    """A product at 60.00, those before it, and everything that can be done about them."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.gateway = FakeGateway()
        self.shop = Shop(self.database, self.gateway)
        self.now: datetime = NOON
        self.orders: dict[int, _Order] = {}
        self.came: dict[int, int] = {}

    @initialize()
    def open_shop(self) -> None:
        self._offer()

    @precondition(lambda self: len(self.came) < MOST_PRODUCTS)
    @rule()
    def withdraw(self) -> None:
        self.shop.withdraw(self.product)
        self._offer()

    @rule(change=st.integers(min_value=-4, max_value=6).filter(bool))
    def move_stock(self, change: int) -> None:
        available = self._available()
        try:
            self.shop.move(self.product, change)
        except StockReserved:
            assert available + change < 0
        else:
            assert available + change >= 0
            self.came[self.product] += change

    @rule(quantity=st.integers(min_value=1, max_value=4), token=TOKENS)
    def place(self, quantity: int, token: str) -> None:
        available = self._available()
        try:
            placed = self.shop.place({self.product: quantity}, token=token)
        except OutOfStock:
            assert quantity > available
        else:
            assert quantity <= available
            self.orders[int(placed["id"])] = _Order(self.product, quantity)

    @rule(fate=st.sampled_from(["answered", "lost", "refused", "unclear", "lagging", "blind"]))
    def settle(self, fate: str) -> None:
        self._prepare(fate)
        self.shop.settle(now=self.now)
        self.gateway.forget_orders()

    @rule()
    def die_after_the_claim(self) -> None:
        self.shop.claim(now=self.now)

    @rule(
        fate=st.sampled_from(["answered", "lost", "refused", "declined", "unclear", "lagging"]),
    )
    def give_back(self, fate: str) -> None:
        self._prepare(fate)
        self.shop.give_back(now=self.now)
        self.gateway.forget_orders()

    @rule()
    def fulfil(self) -> None:
        self.shop.fulfil(now=self.now)

    @rule(by=st.sampled_from([timedelta(seconds=6), timedelta(seconds=31), TTL, 8 * TTL]))
    def wait(self, by: timedelta) -> None:
        self.now += by

    @rule()
    def expire(self) -> None:
        self.shop.expire(now=self.now)

    @precondition(lambda self: self.orders)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        order_id = self._pick(pick)
        before = self.shop.status(order_id)
        try:
            self.shop.cancel(order_id)
        except Conflict:
            assert before != "cancelled"
        else:
            assert before in ("pending", "cancelled")

    @precondition(lambda self: self.orders)
    @rule(pick=PICK, quantity=st.integers(min_value=1, max_value=4))
    def amend(self, pick: int, quantity: int) -> None:
        order_id = self._pick(pick)
        try:
            self.shop.amend(order_id, {self.product: quantity})
        except Conflict:
            return
        self.orders[order_id] = _Order(self.product, quantity)

    @precondition(lambda self: self.orders)
    @rule(
        pick=PICK,
        amount=st.sampled_from([None, 1, 2500, PRICE]),
        goods=st.sampled_from(["none", "all", "one"]),
    )
    def refund(self, pick: int, amount: int | None, goods: str) -> None:
        order_id = self._pick(pick)
        items = {self.orders[order_id].product: 1} if goods == "one" else None
        try:
            self.shop.ask_refund(
                order_id, amount, restock=goods == "all", items=items, now=self.now
            )
        except (Conflict, Invalid):
            return

    @precondition(lambda self: self.orders)
    @rule(pick=PICK)
    def be_told_by_the_gateway(self, pick: int) -> None:
        self.shop.look_again(self._pick(pick), now=self.now)

    @invariant()
    def stock_stays_within_its_bounds(self) -> None:
        for product, came in self.came.items():
            level = self.shop.level(product)
            assert 0 <= level.reserved <= level.on_hand <= came

    @invariant()
    def nothing_is_charged_twice(self) -> None:
        charged = [key.partition(":")[0] for key in self.gateway.captured()]
        assert len(charged) == len(set(charged))

    def teardown(self) -> None:
        for _ in range(12):
            self.now += timedelta(hours=2)
            self.shop.settle(now=self.now)
            self.shop.expire(now=self.now)
            self.shop.fulfil(now=self.now)
            self.shop.give_back(now=self.now)
        self._judge()

    def _judge(self) -> None:
        delivered = dict.fromkeys(self.came, 0)
        for order_id, wanted in self.orders.items():
            order = self.shop.order(order_id)
            kept = self._kept(order_id)
            assert order["status"] in FINAL, f"I1: {order}"
            paid = order["status"] in ("completed", "refunded")
            expected = round((order["total"] - order["refunded"]) * 100) if paid else 0
            assert kept == expected, f"I2, I3: the gateway keeps {kept} of {order}"
            states = self.shop.reservations(order_id)
            if order["status"] == OrderStatus.COMPLETED:
                assert set(states.values()) == {"committed"}, f"I3: {order}"
            left = wanted.quantity * (states[wanted.product] == "committed")
            delivered[wanted.product] += left
        for product, came in self.came.items():
            on_hand = came - delivered[product] + self._returned(product)
            level = self.shop.level(product)
            assert (level.on_hand, level.reserved) == (on_hand, 0), "I4"
        with self.database.reads() as session:
            assert not session.scalar(sa.select(sa.func.sum(Entry.amount_minor))), "I10"

    def _kept(self, order_id: int) -> int:
        taken = self.gateway.captured().get(f"{order_id}:1", 0)
        back = self.gateway.given_back()
        return taken - sum(
            amount for key, amount in back.items() if key.startswith(f"refund:{order_id}:")
        )

    def _returned(self, product: int) -> int:
        movements = self.shop.movements(product)
        return sum(it.change for it in movements if it.reason == Reason.RETURN)

    def _prepare(self, fate: str) -> None:
        if fate == "lost":
            self.gateway.lose_next_answer()
        if fate in _ANSWERS:
            self.gateway.answer_next(_ANSWERS[fate])
        if fate in _LOOK_UPS:
            self.gateway.find_next(_LOOK_UPS[fate])

    def _offer(self) -> None:
        self.product = self.shop.sell(quantity=STOCK)
        self.came[self.product] = STOCK

    def _available(self) -> int:
        level = self.shop.level(self.product)
        return level.on_hand - level.reserved

    def _pick(self, pick: int) -> int:
        return sorted(self.orders)[pick % len(self.orders)]


@pytest.mark.parametrize(
    "examples", [12, pytest.param(300, marks=[pytest.mark.proof, pytest.mark.timeout(900)])]
)
def test_the_shop_does_what_the_model_says(each_database: Database, examples: int) -> None:
    machine = type("Trade", (_Trade,), {"database": each_database})

    run = settings(max_examples=examples, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(machine, settings=run)
