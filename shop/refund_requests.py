"""Refunds that an operator asks for: in full or in part, with the goods or without."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.errors import Conflict, Invalid
from shop import locks, money, orders, refunds, stock
from shop.locks import LockedOrder
from shop.orders import OrderStatus
from shop.payments import Payment
from shop.refunds import Captured, Refund, RefundState, Wish


class OrderNotPaid(Conflict):
    """No money has been taken for the order."""

    code = "order_not_paid"

    def __init__(self, order_id: int, status: str) -> None:
        super().__init__(
            f"Order {order_id} is {status}: there is no money to give back.",
            order_id=order_id,
            status=status,
        )


class RefundTooLarge(Conflict):
    """More is asked for than can still be given back."""

    code = "refund_too_large"

    def __init__(self, left_minor: int) -> None:
        left = money.to_number(left_minor)
        super().__init__(f"At most {left:.2f} can still be given back.", refundable=left)


class ItemsNeeded(Invalid):
    """A partial refund does not say which goods come back."""

    code = "items_needed"

    def __init__(self) -> None:
        super().__init__("items: say which goods come back with a partial refund.")


class NotDelivered(Conflict):
    """Goods that the order does not have cannot come back."""

    code = "not_delivered"

    def __init__(self, product_id: int, returnable: int) -> None:
        super().__init__(
            f"At most {returnable} of product {product_id} can come back from this order.",
            product_id=product_id,
            returnable=returnable,
        )


class RefundKeyReused(Invalid):
    """The idempotency key came before, with another refund."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another refund: make a new one.")


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What an operator wants given back: an amount or all that is left, with goods or without.

    `restock` takes every delivered piece back with a refund of all that is left; `items` names
    pieces by product id.
    """

    requested_by: int
    amount_minor: int | None = None
    reason: str = ""
    restock: bool = False
    items: Mapping[int, int] | None = None

    @property
    def digest(self) -> str:
        """A hash that is the same for the same wish."""
        wish = [self.amount_minor, self.reason, self.restock, sorted((self.items or {}).items())]
        return hashlib.sha256(orjson.dumps(wish)).hexdigest()


def request(
    session: Session,
    order_id: int,
    wanted: RefundRequest,
    *,
    idempotency_key: str | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Make a refund due, never above what is left; the same key again gives the first refund.

    Raises:
        OrderNotFound: there is no such order.
        PaymentUnknown: the gateway must be asked first.
        OrderNotPaid, RefundTooLarge: there is not so much to give back.
        ItemsNeeded, NotDelivered: the goods cannot come back so.
        RefundKeyReused: the key belongs to another refund.
    """
    locked = locks.lock(session, order_id, user_id=None)
    captured = next(iter(refunds.lock_captured(session, [order_id])), None)
    if captured is None:
        raise OrderNotPaid(order_id, locked.status)
    at = now or clock.now(session)
    if made := _find_made(captured, wanted, idempotency_key, at=at):
        return refunds.shown(made)
    amount = captured.left_minor if wanted.amount_minor is None else wanted.amount_minor
    if not 0 < amount <= captured.left_minor:
        raise RefundTooLarge(captured.left_minor)
    is_whole = amount == captured.left_minor
    wish = Wish(
        amount_minor=amount,
        reason=wanted.reason,
        requested_by=wanted.requested_by,
        idempotency_key=idempotency_key,
        request_hash=wanted.digest,
        restock=_coming_back(session, captured, wanted, is_whole=is_whole),
    )
    refund = refunds.add(session, captured, wish, at=at)
    if is_whole:
        _end_order(session, locked, at=at)
    return refunds.shown(refund)


def request_again(
    session: Session, refund_id: int, *, requested_by: int, idempotency_key: str
) -> None:
    """Ask once more for what a gateway refused to give back; any other refund goes on by itself.

    Raises:
        RefundTooLarge: the money has been given back in another way since.
    """
    refused = session.get(Refund, refund_id)
    if refused is None or refused.state != RefundState.FAILED:
        return
    coming_back = refunds.restocked(refused)
    wanted = RefundRequest(
        requested_by, refused.amount_minor, refused.reason, items=coming_back or None
    )
    request(session, refused.order_id, wanted, idempotency_key=idempotency_key)


def list_of(session: Session, order_id: int, *, user_id: int | None) -> list[dict[str, Any]]:
    """List the refunds of an order, newest first; with a `user_id`, only if it is that person's.

    Raises:
        OrderNotFound: it does not exist, or is another's.
    """
    orders.get(session, order_id, user_id=user_id)
    made = sa.select(Refund).where(Refund.order_id == order_id).order_by(Refund.id.desc())
    return [refunds.shown(refund) for refund in session.scalars(made)]


def _find_first(captured: Captured, wanted: RefundRequest, key: str) -> Refund | None:
    first = next((it for it in captured.refunds if it.idempotency_key == key), None)
    if first is not None and first.request_hash != wanted.digest:
        raise RefundKeyReused
    return first


def _find_made(
    captured: Captured, wanted: RefundRequest, key: str | None, *, at: datetime
) -> Refund | None:
    """Find the refund that this wish is about already: its own, or all that is left, on its way."""
    if key and (first := _find_first(captured, wanted, key)):
        return first
    if wanted.amount_minor is None and not captured.left_minor:
        return _hasten(captured, wanted, key, at=at)
    return None


def _hasten(
    captured: Captured, wanted: RefundRequest, key: str | None, *, at: datetime
) -> Refund | None:
    """Send what waits to be sent after a refusal now: it is all that is left to give back."""
    waiting = next((it for it in captured.refunds if it.state == RefundState.CREATED), None)
    if waiting is not None and waiting.due_at is not None and waiting.due_at > at:
        waiting.due_at, waiting.updated_at = at, at
        if waiting.idempotency_key is None:
            waiting.idempotency_key, waiting.request_hash = key, key and wanted.digest
    return waiting


def _coming_back(
    session: Session, captured: Captured, wanted: RefundRequest, *, is_whole: bool
) -> dict[int, int]:
    """Find which goods come back: never more than were delivered and have not come back yet."""
    if not wanted.restock and not wanted.items:
        return {}
    returnable = _returnable(session, captured)
    for product_id, quantity in (wanted.items or {}).items():
        if quantity > returnable.get(product_id, 0):
            raise NotDelivered(product_id, returnable.get(product_id, 0))
    if wanted.items:
        return dict(wanted.items)
    if not is_whole:
        raise ItemsNeeded
    return {product_id: quantity for product_id, quantity in returnable.items() if quantity}


def _returnable(session: Session, captured: Captured) -> dict[int, int]:
    returnable = stock.delivered(session, captured.order["id"])
    for refund in captured.refunds:
        if refund.state != RefundState.FAILED:
            for product_id, quantity in refunds.restocked(refund).items():
                returnable[product_id] -= quantity
    return returnable


def _end_order(session: Session, locked: LockedOrder, *, at: datetime) -> None:
    """Begin the end of an order all of whose money goes back; undelivered goods stay with us."""
    if locked.status is OrderStatus.REFUNDING:
        return
    session.execute(
        sa.update(Payment)
        .where(Payment.id == locked.payment["id"])
        .values(fulfil_at=None)
        .execution_options(synchronize_session=False)
    )
    stock.release(session, order_ids=[locked.id])
    changes = orders.advance(session, [locked.id], status=OrderStatus.REFUNDING, at=at)
    outbox.record(session, changes)
