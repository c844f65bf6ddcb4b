"""Stock moves with a reason, never below what orders hold, and tells once when it is low."""

from functools import partial
from typing import Any

import pytest

from infra.db import transact
from shop import movements, stock
from shop.movements import Movement, MovementKeyReused, Reason
from shop.products import ProductNotFound
from shop.stock import StockReserved, StockTooLarge
from tests.shop.stage import BUYER, Level, Shop, as_told, at_once

LOW_AT = 5


def test_a_movement_is_recorded_with_what_there_is_after_it(shop: Shop) -> None:
    product = shop.sell(quantity=10)

    moved = _move(shop, product, -3, reason=Reason.DAMAGE, note="wet")

    shown = _level(shop, product)
    assert (moved["change"], moved["on_hand"], moved["reason"]) == (-3, 7, "damage")
    assert (shown["on_hand"], shown["available"], shown["movements"]) == (7, 7, [moved])


def test_movements_are_read_page_by_page_newest_first(shop: Shop) -> None:
    product = shop.sell()
    made = [_move(shop, product, 1)["id"] for _ in range(3)]

    with shop.database.reads() as session:
        first = movements.get_level(session, product, limit=2).movements
        rest = movements.get_level(session, product, limit=2, below_id=first[-1].id).movements

    assert [movement.id for movement in [*first, *rest]] == made[::-1]


def test_what_orders_hold_cannot_be_taken(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    shop.place({product: 4})
    before = shop.snapshot()

    with pytest.raises(StockReserved) as refused:
        _move(shop, product, -7)

    assert refused.value.extra == {"product_id": product, "on_hand": 10, "reserved": 4}
    assert shop.snapshot() == before
    assert _move(shop, product, -6)["on_hand"] == 4


def test_more_than_can_be_counted_is_refused(shop: Shop) -> None:
    product = shop.sell(quantity=10)

    with pytest.raises(StockTooLarge):
        _move(shop, product, stock.MOST_ON_HAND)

    assert shop.level(product) == Level(10, 0)


def test_stock_of_what_is_not_on_sale_is_not_moved(shop: Shop) -> None:
    product = shop.sell()
    shop.withdraw(product)

    with pytest.raises(ProductNotFound):
        _move(shop, product, 1)


def test_the_same_key_moves_once(shop: Shop) -> None:
    product = shop.sell(quantity=10)
    first = _move(shop, product, 5, key="a")
    before = shop.snapshot()

    assert _move(shop, product, 5, key="a") == first
    assert shop.snapshot() == before


def test_the_same_key_for_another_movement_is_refused(shop: Shop) -> None:
    product, other = shop.sell(), shop.sell()
    _move(shop, product, 5, key="a")

    for again in (
        partial(_move, shop, product, 6, key="a"),
        partial(_move, shop, other, 5, key="a"),
    ):
        with pytest.raises(MovementKeyReused):
            again()


def test_twins_move_once(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=10)

    answers = at_once([partial(_move, busy_shop, product, 5, key="a")] * 8)

    assert busy_shop.level(product) == Level(15, 0)
    assert all(answer == answers[0] for answer in answers)


def test_orders_and_movements_at_once_lose_no_piece(busy_shop: Shop) -> None:
    product = busy_shop.sell(quantity=10)

    answers = at_once(
        [partial(busy_shop.place, {product: 1})] * 10 + [partial(_move, busy_shop, product, -1)] * 8
    )

    level = busy_shop.level(product)
    sold = sum("total" in answer for answer in answers[:10] if isinstance(answer, dict))
    moved = sum(isinstance(answer, dict) for answer in answers[10:])
    assert (level.on_hand, level.reserved) == (10 - moved, sold)
    assert sold + moved == 10


def test_low_and_out_are_told_once_each_by_orders(shop: Shop) -> None:
    product = shop.sell(quantity=8)

    for _ in range(8):
        shop.place({product: 1})

    warned = [(e.type, e.data["available"]) for e in shop.told(f"stock/{product}")]
    assert [kind for kind in warned if kind[0] != "stock.changed"] == [
        ("stock.low", 5),
        ("stock.out", 0),
    ]


def test_one_order_may_cross_both_thresholds(shop: Shop) -> None:
    product = shop.sell(quantity=8)

    shop.place({product: 8})

    told = shop.told(f"stock/{product}")
    assert [(event.type, event.version) for event in told] == [
        ("stock.changed", 1),
        ("stock.changed", 2),
        ("stock.low", 3),
        ("stock.out", 4),
    ]
    assert told[-1].data == as_told(
        {k: v for k, v in _level(shop, product).items() if k != "movements"}
    )


def test_a_changed_order_tells_only_of_stock_that_it_moves(shop: Shop) -> None:
    same, more = shop.sell(quantity=10), shop.sell(quantity=10)
    order_id = int(shop.place({same: 1, more: 1})["id"])

    transact(
        shop.database.sessions,
        lambda session: stock.hold_instead(
            session, order_id=order_id, quantities={same: 1, more: 6}, low_at=LOW_AT
        ),
    )

    assert shop.told_types(f"stock/{same}") == ["stock.changed"] * 2
    assert shop.told_types(f"stock/{more}") == ["stock.changed"] * 3 + ["stock.low"]


def test_low_is_told_again_after_a_delivery(shop: Shop) -> None:
    product = shop.sell(quantity=6)
    _move(shop, product, -1)
    _move(shop, product, 10)

    _move(shop, product, -10)

    assert shop.told_types(f"stock/{product}").count("stock.low") == 2


def test_a_threshold_of_nothing_tells_only_when_it_is_out(shop: Shop) -> None:
    product = shop.sell(quantity=6)

    transact(
        shop.database.sessions,
        lambda session: stock.adjust(session, product, change=-6, low_at=0),
    )

    assert shop.told_types(f"stock/{product}") == ["stock.changed"] * 2 + ["stock.out"]


def _move(
    shop: Shop,
    product_id: int,
    change: int,
    *,
    reason: Reason = Reason.CORRECTION,
    note: str = "",
    key: str | None = None,
) -> dict[str, Any]:
    wanted = Movement(product_id, change, reason, BUYER, note)
    return movements.record(shop.database.sessions, wanted, low_at=LOW_AT, idempotency_key=key)


def _level(shop: Shop, product_id: int) -> dict[str, Any]:
    with shop.database.reads() as session:
        return movements.get_level(session, product_id).public()
