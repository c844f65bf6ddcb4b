"""Stock: never below nothing, never more spoken for than there is, and no piece is lost."""

from contextlib import nullcontext

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.exc import DatabaseError

from infra.db import Database, transact
from shop import stock
from shop.stock import OutOfStock, Reservation, ReservationState, Stock
from tests.shop.stage import NOON, Level, Shop, as_told
from tests.support.gateway import FakeGateway

FIRST_STOCK = 30
CARDS = st.sampled_from(["tok_visa", "tok_declined", "tok_500"])


def test_released_stock_can_be_sold_again(shop: Shop) -> None:
    product = shop.sell(quantity=4)
    order_id = int(shop.place({product: 4})["id"])

    transact(shop.database.sessions, lambda session: stock.release(session, order_ids=[order_id]))

    assert shop.level(product) == Level(on_hand=4, reserved=0)


def test_what_was_released_is_not_released_again(shop: Shop) -> None:
    product = shop.sell(quantity=4)
    order_id = int(shop.place({product: 4})["id"])
    transact(shop.database.sessions, lambda session: stock.release(session, order_ids=[order_id]))
    before = shop.snapshot()

    transact(shop.database.sessions, lambda session: stock.release(session, order_ids=[order_id]))

    assert shop.snapshot() == before


def test_what_was_delivered_is_not_released(shop: Shop) -> None:
    product = shop.sell(quantity=4)
    order_id = shop.paid({product: 4})
    shop.fulfil()

    transact(shop.database.sessions, lambda session: stock.release(session, order_ids=[order_id]))

    assert shop.level(product) == Level(on_hand=0, reserved=0)


def test_a_change_of_stock_is_told_as_it_stands_in_the_database(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    shop.place({product: 4})

    told = shop.told(f"stock/{product}")[-1]
    with shop.database.reads() as session:
        assert told.data == as_told(stock.public(session.get_one(Stock, product)))


def test_versions_of_stock_follow_each_other(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    shop.paid({product: 1})
    shop.place({product: 2})
    shop.fulfil()

    assert [event.version for event in shop.told(f"stock/{product}")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "values", [{"on_hand": -1}, {"reserved": -1}, {"reserved": 11}, {"on_hand": 3, "reserved": 4}]
)
def test_the_database_refuses_impossible_stock(shop: Shop, values: dict[str, int]) -> None:
    product = shop.sell(quantity=10)
    change = sa.update(Stock).where(Stock.product_id == product).values(**values)

    with pytest.raises(DatabaseError), shop.database.sessions.begin() as session:
        session.execute(change)


class Warehouse(RuleBasedStateMachine):
    """One product, bought, paid, declined, delivered and withdrawn in any order."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.gateway = FakeGateway()
        self.shop = Shop(self.database, self.gateway)
        self.product = self.shop.sell(quantity=FIRST_STOCK)
        self.withdrawn = False

    @precondition(lambda self: not self.withdrawn)
    @rule(quantity=st.integers(1, 12), token=CARDS)
    def buy(self, quantity: int, token: str) -> None:
        too_much = quantity > self._available()
        with pytest.raises(OutOfStock) if too_much else nullcontext():
            self.shop.place({self.product: quantity}, token=token)

    @rule()
    def settle(self) -> None:
        self.shop.settle(now=NOON)

    @rule()
    def fulfil(self) -> None:
        self.shop.fulfil(now=NOON)

    @precondition(lambda self: not self.withdrawn)
    @rule()
    def withdraw(self) -> None:
        self.shop.withdraw(self.product)
        self.withdrawn = True

    @invariant()
    def no_more_is_spoken_for_than_there_is(self) -> None:
        level = self.shop.level(self.product)
        assert 0 <= level.reserved <= level.on_hand

    @invariant()
    def no_piece_is_lost(self) -> None:
        level = self.shop.level(self.product)
        assert level.on_hand + self._sum(ReservationState.COMMITTED) == FIRST_STOCK
        assert level.reserved == self._sum(ReservationState.HELD)

    def _available(self) -> int:
        level = self.shop.level(self.product)
        return level.on_hand - level.reserved

    def _sum(self, state: ReservationState) -> int:
        query = sa.select(sa.func.coalesce(sa.func.sum(Reservation.quantity), 0)).where(
            Reservation.product_id == self.product, Reservation.state == state
        )
        with self.database.reads() as session:
            return int(session.scalar(query) or 0)


def test_stock_is_conserved_whatever_happens(each_database: Database) -> None:
    class Here(Warehouse):
        database = each_database

    run_state_machine_as_test(
        Here, settings=settings(max_examples=10, stateful_step_count=10, deadline=None)
    )
