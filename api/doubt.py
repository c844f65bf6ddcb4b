"""What to do before anything is done to an order of which nobody knows whether it is paid."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from infra import db
from infra.db import transact
from shop import locks
from shop.locks import PaymentUnknown
from workers.bells import ring
from workers.payments import settle

T = TypeVar("T")
_WAIT_S = 3.0
_LOOK_EVERY_S = 0.05


def settled_first(sessions: db.Sessions, order_id: int, act: Callable[[Any], T]) -> T:
    """Act in a transaction; when the payment is in doubt, have the gateway asked first.

    The API holds no key of the gateway: the look is made due, rung, and waited for a little.

    Raises:
        PaymentUnknown: the doubt has outlived the wait.
    """
    try:
        return transact(sessions, act)
    except PaymentUnknown:
        transact(sessions, lambda session: locks.check_now(session, order_id))
        ring(settle)
        _wait(sessions, order_id)
        return transact(sessions, act)


def _wait(sessions: db.Sessions, order_id: int) -> None:
    ends_at = time.monotonic() + _WAIT_S
    while time.monotonic() < ends_at:
        time.sleep(_LOOK_EVERY_S)
        with sessions() as session:
            if not locks.is_unknown(session, order_id):
                return
