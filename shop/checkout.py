"""Accept an order: price it, hold its stock, start its payment, all in one transaction."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.database.prepared import Prepared
from infra.database.rows import among_given, insert_rows, table_of
from infra.db import CommitUnknown, DatabaseBusy, Sessions, is_duplicate, transact
from infra.errors import AppError, Conflict, Invalid
from shop import money, orders, payments, stock
from shop.orders import Order, OrderLine, OrderStatus
from shop.products import Product

_PRODUCT = table_of(Product).c
# What is wanted and on sale, in the order of ids; the clock saves a question of its own.
_ON_SALE = Prepared(
    sa.select(
        _PRODUCT.id,
        _PRODUCT.name,
        _PRODUCT.price_minor,
        _PRODUCT.currency,
        clock.Now().label("read_at"),
    )
    .where(among_given(_PRODUCT.id, "ids"), _PRODUCT.withdrawn_at.is_(None))
    .order_by(_PRODUCT.id)
    .with_for_update(read=True)
)
_ORDER = Prepared(
    sa.insert(table_of(Order)),
    columns=(
        "user_id",
        "status",
        "currency",
        "subtotal_minor",
        "fee_minor",
        "total_minor",
        "refunded_minor",
        "version",
        "idempotency_key",
        "request_hash",
        "created_at",
        "updated_at",
    ),
)


class UnknownProduct(Invalid):
    """A line names a product that is not on sale."""

    code = "unknown_product"

    def __init__(self, product_id: int, because: str = "") -> None:
        super().__init__(f"Product {product_id} is not on sale{because}.", product_id=product_id)


class PriceChanged(Conflict):
    """The client reckoned with another total than the catalogue gives."""

    code = "price_changed"

    def __init__(self, expected_minor: int, total_minor: int) -> None:
        expected, total = money.to_number(expected_minor), money.to_number(total_minor)
        super().__init__(
            f"The total is {total:.2f}, not {expected:.2f}: look at the prices and order again.",
            expected_total=expected,
            total=total,
        )


class OrderTooLarge(Invalid):
    """The total is beyond what we take in one order."""

    code = "order_too_large"

    def __init__(self) -> None:
        limit = money.to_number(money.MAX_MINOR)
        super().__init__(f"An order's total must stay below {limit:.2f}.")


class NothingToPay(Invalid):
    """The total is nothing, which no gateway can take."""

    code = "nothing_to_pay"

    def __init__(self) -> None:
        super().__init__("An order's total must be above 0.00.")


class KeyReused(Invalid):
    """The idempotency key came before, with another order."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another order: make a new one.")


class InFlight(Conflict):
    """The same request is being worked on right now."""

    code = "in_flight"
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("The same order is being placed right now. Try again in a second.")


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms we sell."""

    currency: str
    fee_rate: Decimal
    gateway: str
    low_stock: int = stock.LOW_AT


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants to buy; `quantities` by product id, a total only to be compared."""

    user_id: int
    quantities: Mapping[int, int]
    expected_total_minor: int | None = None
    payment_token: str = "tok_visa"  # noqa: S105 - the name of a test card, no secret

    @property
    def digest(self) -> str:
        """A hash that is the same for the same wish."""
        wish = {
            "items": sorted(self.quantities.items()),
            "expected": self.expected_total_minor,
            "token": self.payment_token,
        }
        return hashlib.sha256(orjson.dumps(wish)).hexdigest()


def place(
    sessions: Sessions, request: Request, *, terms: Terms, idempotency_key: str | None
) -> dict[str, Any]:
    """Store an order and start its payment; the same key again gives the first order as it is now.

    Without a key the server makes one, so that an order whose COMMIT was not answered can be found.

    Raises:
        UnknownProduct, OutOfStock, PriceChanged, OrderTooLarge, NothingToPay: nothing was stored.
        KeyReused: the key belongs to another order.
        InFlight: a request with the same key, or one that holds the same stock, is under way.
        DatabaseDown, CommitUnknown: nothing is known to be stored; send it again with the same key.
    """
    key = idempotency_key or f"auto:{uuid.uuid4()}"
    try:
        if idempotency_key is not None and (first := _find_first(sessions, request, key)):
            return first
        placed = _store_or_find(sessions, request, terms, key)
        if isinstance(placed, CommitUnknown):
            # The commit never arrived, or comes so late that its twin is a duplicate.
            placed = _store_or_find(sessions, request, terms, key)
    except DatabaseBusy:
        raise InFlight from None
    if isinstance(placed, AppError):
        raise placed
    return placed


def _store_or_find(
    sessions: Sessions, request: Request, terms: Terms, key: str
) -> dict[str, Any] | AppError:
    """Store the order; if that is refused, a twin may have been faster: then find the first."""
    try:
        return transact(sessions, lambda session: _store(session, request, terms, key))
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        refused: AppError = InFlight()
    except (CommitUnknown, UnknownProduct, stock.OutOfStock, PriceChanged) as error:
        refused = error
    return _find_first(sessions, request, key) or refused


def _find_first(sessions: Sessions, request: Request, key: str) -> dict[str, Any] | None:
    def find(session: Session) -> dict[str, Any] | None:
        order = session.scalar(
            sa.select(Order).where(Order.user_id == request.user_id, Order.idempotency_key == key)
        )
        if order is None:
            return None
        if order.request_hash != request.digest:
            raise KeyReused
        return orders.get(session, order.id, user_id=None)

    return transact(sessions, find)


def _store(session: Session, request: Request, terms: Terms, key: str) -> dict[str, Any]:
    lines = price(session, request.quantities, terms)
    order = _insert_order(session, request, terms, key, lines)
    for line in lines:
        line["order_id"] = order["id"]
    insert_rows(session, table_of(OrderLine), lines)
    taken = stock.hold(
        session, order_id=order["id"], quantities=request.quantities, low_at=terms.low_stock
    )
    payments.open_for(session, order, gateway=terms.gateway, token=request.payment_token)
    placed = orders.changed("order.placed", order, lines)
    outbox.record(session, [*taken, placed])
    return placed.data


def price(session: Session, quantities: Mapping[int, int], terms: Terms) -> list[dict[str, Any]]:
    """Make an order's lines, under a shared lock: no product is withdrawn or repriced meanwhile.

    Raises:
        UnknownProduct: one is not on sale, or not for our currency.
    """
    rows = _ON_SALE.run(session, ids=tuple(quantities)).rows
    if rows:
        clock.learn(session, rows[0][-1])
    for product_id, _, _, currency, _ in rows:
        if currency != terms.currency:
            raise UnknownProduct(product_id, f": its price is still in {currency}")
    lines = [
        {
            "n": n,
            "product_id": product_id,
            "name": name,
            "quantity": quantities[product_id],
            "unit_price_minor": price_minor,
            "unit_fee_minor": money.unit_fee(price_minor, terms.fee_rate),
        }
        for n, (product_id, name, price_minor, *_) in enumerate(rows, start=1)
    ]
    missing = quantities.keys() - {line["product_id"] for line in lines}
    if missing:
        raise UnknownProduct(min(missing))
    return lines


def add_up(
    lines: Sequence[Mapping[str, int]], *, expected_total_minor: int | None
) -> dict[str, int]:
    """Add up what lines cost, and compare it with what the client reckons with.

    Raises:
        OrderTooLarge, NothingToPay, PriceChanged: it cannot be sold so.
    """
    subtotal = sum(line["quantity"] * line["unit_price_minor"] for line in lines)
    fee = sum(line["quantity"] * line["unit_fee_minor"] for line in lines)
    if subtotal + fee >= money.MAX_MINOR:
        raise OrderTooLarge
    if subtotal + fee == 0:
        raise NothingToPay
    if expected_total_minor not in (None, subtotal + fee):
        raise PriceChanged(expected_total_minor or 0, subtotal + fee)
    return {"subtotal_minor": subtotal, "fee_minor": fee, "total_minor": subtotal + fee}


def _insert_order(
    session: Session, request: Request, terms: Terms, key: str, lines: list[dict[str, Any]]
) -> dict[str, Any]:
    amounts = add_up(lines, expected_total_minor=request.expected_total_minor)
    now = clock.now(session)
    order = {
        "user_id": request.user_id,
        "status": OrderStatus.PENDING.value,
        "currency": terms.currency,
        **amounts,
        "refunded_minor": 0,
        "version": 1,
        "idempotency_key": key,
        "request_hash": request.digest,
        "created_at": now,
        "updated_at": now,
    }
    return {"id": _ORDER.run(session, **order).new_id, **order}
