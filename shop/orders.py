"""Orders: their rows, what they look like from outside, and how they are read."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra.database.prepared import Prepared
from infra.database.rows import among_given, table_of
from infra.db import Base, BigId, Row, UtcDateTime, binary_string
from infra.errors import NotFound
from infra.outbox import Change
from shop import money
from shop.events import ORDERS
from shop.payloads import LineData, OrderData


class OrderStatus(StrEnum):
    """Where an order stands; completed, payment_failed, expired, cancelled, refunded are final."""

    PENDING = "pending"
    PAYMENT_UNKNOWN = "payment_unknown"
    PAID = "paid"
    COMPLETED = "completed"
    PAYMENT_FAILED = "payment_failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


class Order(Base):
    """One order of one person; amounts are minor units of `currency`."""

    __tablename__ = "orders"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "idempotency_key"),
        sa.Index(None, "user_id", "id"),
        sa.Index(None, "status", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    user_id: Mapped[int] = mapped_column(BigId)
    status: Mapped[str] = mapped_column(binary_string(20))
    currency: Mapped[str] = mapped_column(sa.CHAR(3))
    subtotal_minor: Mapped[int] = mapped_column(sa.BigInteger)
    fee_minor: Mapped[int] = mapped_column(sa.BigInteger)
    total_minor: Mapped[int] = mapped_column(sa.BigInteger)
    refunded_minor: Mapped[int] = mapped_column(sa.BigInteger)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    idempotency_key: Mapped[str] = mapped_column(binary_string(255))
    request_hash: Mapped[str] = mapped_column(binary_string(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OrderLine(Base):
    """One product within an order, at the price and fee of that moment."""

    __tablename__ = "order_line"

    order_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("orders.id"), primary_key=True)
    n: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    product_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("product.id"))
    name: Mapped[str] = mapped_column(sa.String(300))
    quantity: Mapped[int] = mapped_column(sa.BigInteger)
    unit_price_minor: Mapped[int] = mapped_column(sa.BigInteger)
    unit_fee_minor: Mapped[int] = mapped_column(sa.BigInteger)


class OrderNotFound(NotFound):
    """No such order, or not one of this person's."""

    code = "order_not_found"

    def __init__(self, order_id: int) -> None:
        super().__init__(f"There is no order {order_id}.", order_id=order_id)


# Of few orders among many, MySQL supposes that they are spread evenly, and reads from the newest of
# all until it has a page of them: all there are, if these are old. Other databases read no hints.
_BY_USER = "FORCE INDEX (ix_orders_user_id_id)"
_BY_STATUS = "FORCE INDEX (ix_orders_status_id)"
# What the public form is made of: reading a column that is not shown costs as much as one that is.
_SHOWN = (
    "id",
    "user_id",
    "status",
    "currency",
    "subtotal_minor",
    "fee_minor",
    "total_minor",
    "refunded_minor",
    "version",
    "created_at",
    "updated_at",
)
_SHOWN_OF_LINES = (
    "order_id",
    "product_id",
    "name",
    "quantity",
    "unit_price_minor",
    "unit_fee_minor",
)
_ORDER, _LINE = table_of(Order), table_of(OrderLine).c
_SET_STATUS = Prepared(
    sa.update(_ORDER)
    .where(among_given(_ORDER.c.id, "ids"))
    .values(status=sa.bindparam("to"), version=_ORDER.c.version + 1, updated_at=sa.bindparam("at"))
)
_CHANGED = Prepared(
    sa.select(*(_ORDER.c[name] for name in _SHOWN)).where(among_given(_ORDER.c.id, "ids"))
)
_LINES = Prepared(
    sa.select(*(_LINE[name] for name in _SHOWN_OF_LINES))
    .where(among_given(_LINE.order_id, "orders"))
    .order_by(_LINE.order_id, _LINE.n)
)


def get(session: Session, order_id: int, *, user_id: int | None) -> dict[str, Any]:
    """Read an order as the API shows it; with a `user_id`, only if it is that person's.

    Raises:
        OrderNotFound: it does not exist, or is another's.
    """
    table = Order.__table__
    query = sa.select(table).where(table.c.id == order_id)
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    found = _public_all(session, query)
    if not found:
        raise OrderNotFound(order_id)
    return found[0]


def list_page(
    session: Session,
    *,
    user_id: int | None,
    before_id: int | None,
    limit: int,
    status: OrderStatus | None = None,
) -> list[dict[str, Any]]:
    """List orders, newest first, from below `before_id` on; all people's without a `user_id`."""
    table = Order.__table__
    query = sa.select(table).order_by(table.c.id.desc()).limit(limit)
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    if before_id is not None:
        query = query.where(table.c.id < before_id)
    if status is not None:
        query = query.where(table.c.status == status)
    if user_id is not None:
        query = query.with_hint(table, _BY_USER)
    elif status is not None:
        query = query.with_hint(table, _BY_STATUS)
    return _public_all(session, query)


def advance(
    session: Session, order_ids: Sequence[int], *, status: OrderStatus, at: datetime
) -> list[Change]:
    """Set the status of orders whose payment rows are locked; return what to tell subscribers."""
    if not order_ids:
        return []
    set_status(session, order_ids, status=status, at=at)
    return changes(session, order_ids, kind=f"order.{status}")


def set_status(
    session: Session, order_ids: Sequence[int], *, status: OrderStatus, at: datetime
) -> None:
    """Set the status of orders whose payment rows are locked, as their next version."""
    _SET_STATUS.run(session, ids=order_ids, to=status, at=at)


def give_back(session: Session, order_id: int, *, amount_minor: int, at: datetime) -> list[Change]:
    """Add to what an order got back: it is refunded when that is its total, else it stays."""
    session.execute(
        sa.update(Order)
        .where(Order.id == order_id)
        .values(refunded_minor=Order.refunded_minor + amount_minor)
        .execution_options(synchronize_session=False)
    )
    left = sa.select(Order.total_minor - Order.refunded_minor).where(Order.id == order_id)
    if session.scalar(left) == 0:
        return advance(session, [order_id], status=OrderStatus.REFUNDED, at=at)
    session.execute(
        sa.update(Order)
        .where(Order.id == order_id)
        .values(version=Order.version + 1, updated_at=at)
        .execution_options(synchronize_session=False)
    )
    return changes(session, [order_id], kind="order.updated")


def keep_sold(session: Session, order_id: int, *, at: datetime) -> list[Change]:
    """Let a delivered order stand whose money was to go back and did not."""
    session.execute(
        sa.update(Order)
        .where(Order.id == order_id)
        .values(status=OrderStatus.COMPLETED, version=Order.version + 1, updated_at=at)
        .execution_options(synchronize_session=False)
    )
    return changes(session, [order_id], kind="order.updated")


def changes(session: Session, order_ids: Sequence[int], *, kind: str) -> list[Change]:
    """Tell what orders look like now, as events of one type."""
    rows, lines = _CHANGED.read(session, ids=order_ids), lines_of(session, order_ids)
    return [changed(kind, row, lines[row["id"]]) for row in rows]


def changed(kind: str, order: Row, lines: Sequence[Row]) -> Change:
    """Tell subscribers of a change to one order."""
    return Change(ORDERS, kind, f"orders/{order['id']}", order["version"], public(order, lines))


def lines_of(session: Session, order_ids: Sequence[int]) -> dict[int, list[Row]]:
    """Read the lines of orders, by order."""
    lines: dict[int, list[Row]] = {}
    for row in _LINES.read(session, orders=order_ids):
        lines.setdefault(row["order_id"], []).append(row)
    return lines


def public(order: Row, lines: Sequence[Row]) -> dict[str, Any]:
    """Show an order as the API and subscribers see it."""
    shown: OrderData = {
        "id": order["id"],
        "user_id": order["user_id"],
        "status": order["status"],
        "currency": order["currency"],
        "subtotal": money.to_number(order["subtotal_minor"]),
        "fee": money.to_number(order["fee_minor"]),
        "total": money.to_number(order["total_minor"]),
        "refunded": money.to_number(order["refunded_minor"]),
        "items": [_public_line(line) for line in lines],
        "version": order["version"],
        "created_at": order["created_at"],
        "updated_at": order["updated_at"],
    }
    return cast("dict[str, Any]", shown)


def _public_line(line: Row) -> LineData:
    unit_minor = line["unit_price_minor"] + line["unit_fee_minor"]
    return {
        "product_id": line["product_id"],
        "name": line["name"],
        "quantity": line["quantity"],
        "unit_price": money.to_number(line["unit_price_minor"]),
        "unit_fee": money.to_number(line["unit_fee_minor"]),
        "line_total": money.to_number(line["quantity"] * unit_minor),
    }


def _public_all(session: Session, query: sa.Select[Any]) -> list[dict[str, Any]]:
    rows = session.execute(query).mappings().all()
    lines = lines_of(session, [row["id"] for row in rows])
    return [public(row, lines[row["id"]]) for row in rows]
