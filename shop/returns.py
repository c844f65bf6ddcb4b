"""Goods that came back: into stock again, each as a recorded movement."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock
from shop import stock
from shop.movements import Reason, StockMovement


@dataclass(frozen=True, slots=True)
class Returned:
    """What came back at once, what for, and who took it back; quantities by product id."""

    quantities: Mapping[int, int]
    note: str
    user_id: int


def take_back(session: Session, returned: Sequence[Returned]) -> None:
    """Put goods on hand again, product by product in the order of their ids."""
    total: Counter[int] = Counter()
    for back in returned:
        total.update(back.quantities)
    on_hand = {
        product_id: stock.adjust(session, product_id, change=total[product_id]).on_hand
        for product_id in sorted(total)
    }
    at = clock.now(session)
    rows = [
        {
            "product_id": product_id,
            "change": quantity,
            "reason": Reason.RETURN.value,
            "note": back.note,
            "user_id": back.user_id,
            "on_hand": on_hand[product_id],
            "created_at": at,
        }
        for back in returned
        for product_id, quantity in back.quantities.items()
    ]
    if rows:
        session.execute(sa.insert(StockMovement), rows)
