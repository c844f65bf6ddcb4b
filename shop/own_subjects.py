"""What events can be about that concern one person: the subjects of his own things."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from shop.events import ORDERS, PAYMENTS
from shop.orders import Order
from shop.payments import Payment
from shop.refunds import Refund

_KEYS = 1000


def list_of(session: Session, topic: str, *, user_id: int) -> list[str]:
    """List the subjects on a topic that are about a person's own orders and payments."""
    return _ON[topic](session, user_id)


def _orders(session: Session, user_id: int) -> list[str]:
    return [f"orders/{order_id}" for order_id in _order_ids(session, user_id)]


def _payments(session: Session, user_id: int) -> list[str]:
    # By the orders, which have an index by person.
    order_ids = _order_ids(session, user_id)
    paid = _ids_of(session, Payment.id, Payment.order_id, order_ids)
    refunded = _ids_of(session, Refund.id, Refund.order_id, order_ids)
    return [f"payments/{n}" for n in paid] + [f"refunds/{n}" for n in refunded]


def _order_ids(session: Session, user_id: int) -> list[int]:
    return list(session.scalars(sa.select(Order.id).where(Order.user_id == user_id)))


def _ids_of(
    session: Session,
    wanted: InstrumentedAttribute[int],
    key: InstrumentedAttribute[int],
    order_ids: list[int],
) -> list[int]:
    found: list[int] = []
    for first in range(0, len(order_ids), _KEYS):
        chunk = order_ids[first : first + _KEYS]
        found += session.scalars(sa.select(wanted).where(key.in_(chunk)))
    return found


_ON: dict[str, Callable[[Session, int], list[str]]] = {ORDERS: _orders, PAYMENTS: _payments}
