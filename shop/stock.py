"""Stock: what is on hand, what is reserved for orders, and what can therefore still be sold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock, outbox
from infra.database.prepared import Prepared
from infra.database.rows import among_given, insert_rows, table_of
from infra.db import Base, BigId, UtcDateTime, binary_string
from infra.errors import Conflict
from infra.outbox import Change
from shop.events import PRODUCTS
from shop.payloads import StockData

MOST_ON_HAND = 1_000_000_000
LOW_AT = 5


class ReservationState(StrEnum):
    """Where stock that an order holds has gone."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Handover:
    """What is set for goods that are paid: when they leave, and how little left of them is told."""

    delay: timedelta = timedelta(0)
    low_stock: int = LOW_AT


class Stock(Base):
    """How much there is of one product; the checks make overselling impossible to write."""

    __tablename__ = "stock"
    __table_args__ = (
        sa.CheckConstraint("on_hand >= 0", name="on_hand_not_negative"),
        sa.CheckConstraint("reserved >= 0", name="reserved_not_negative"),
        sa.CheckConstraint("reserved <= on_hand", name="reserved_on_hand"),
    )

    product_id: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("product.id"), primary_key=True, autoincrement=False
    )
    on_hand: Mapped[int] = mapped_column(sa.BigInteger)
    reserved: Mapped[int] = mapped_column(sa.BigInteger)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def available(self) -> int:
        """What can still be ordered."""
        return self.on_hand - self.reserved


class Reservation(Base):
    """What one order holds of one product."""

    __tablename__ = "reservation"

    order_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("orders.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("product.id"), primary_key=True)
    quantity: Mapped[int] = mapped_column(sa.BigInteger)
    state: Mapped[str] = mapped_column(binary_string(16))


@dataclass(frozen=True, slots=True)
class Level:
    """How much there is of one product now, read without the ORM."""

    product_id: int
    on_hand: int
    reserved: int
    version: int
    updated_at: datetime

    @property
    def available(self) -> int:
        """What can still be ordered."""
        return self.on_hand - self.reserved


class OutOfStock(Conflict):
    """There is less of a product than the order wants."""

    code = "out_of_stock"

    def __init__(self, product_id: int, wanted: int, available: int) -> None:
        super().__init__(
            f"Only {available} of product {product_id} can be ordered, not {wanted}.",
            product_id=product_id,
            available=available,
        )


class StockReserved(Conflict):
    """Orders hold more of the product than would be left."""

    code = "stock_reserved"

    def __init__(self, held: Stock, change: int) -> None:
        super().__init__(
            f"Orders hold {held.reserved} of the {held.on_hand} pieces of product "
            f"{held.product_id}: they cannot become {held.on_hand + change}.",
            product_id=held.product_id,
            on_hand=held.on_hand,
            reserved=held.reserved,
        )


class StockTooLarge(Conflict):
    """There would be more of a product than we can count."""

    code = "stock_too_large"

    def __init__(self, product_id: int) -> None:
        super().__init__(
            f"There cannot be more than {MOST_ON_HAND} of a product.", product_id=product_id
        )


_STOCK, _RESERVATION = table_of(Stock), table_of(Reservation)
_MOVE = Prepared(
    sa.update(_STOCK)
    .where(
        _STOCK.c.product_id == sa.bindparam("moved"),
        _STOCK.c.on_hand - _STOCK.c.reserved >= sa.bindparam("needed"),
    )
    .values(
        on_hand=_STOCK.c.on_hand + sa.bindparam("received"),
        reserved=_STOCK.c.reserved + sa.bindparam("taken"),
        version=_STOCK.c.version + sa.literal_column("1"),
        updated_at=sa.bindparam("updated_at"),
    )
)
_LEVELS = Prepared(
    sa.select(_STOCK.c.product_id, _STOCK.c.on_hand, _STOCK.c.reserved, _STOCK.c.version)
    .where(among_given(_STOCK.c.product_id, "ids"))
    .order_by(_STOCK.c.product_id)
)
_NUMBER = Prepared(
    sa.update(_STOCK)
    .where(_STOCK.c.product_id == sa.bindparam("moved"))
    .values(version=sa.bindparam("version"))
)
_HELD = (
    among_given(_RESERVATION.c.order_id, "orders"),
    _RESERVATION.c.state == ReservationState.HELD,
)
_HELD_BY = Prepared(sa.select(_RESERVATION.c.order_id, _RESERVATION.c.product_id).where(*_HELD))
_HELD_OF = Prepared(
    sa.select(_RESERVATION.c.product_id, sa.func.sum(_RESERVATION.c.quantity))
    .where(*_HELD)
    .group_by(_RESERVATION.c.product_id)
)
_END = Prepared(sa.update(_RESERVATION).where(*_HELD).values(state=sa.bindparam("ends")))


def open_for(session: Session, quantities: Mapping[int, int]) -> dict[int, Stock]:
    """Open the stock of new products with what there is of each at first."""
    now = clock.now(session)
    opened = {
        product_id: Stock(
            product_id=product_id, on_hand=quantity, reserved=0, version=1, updated_at=now
        )
        for product_id, quantity in quantities.items()
    }
    session.add_all(opened.values())
    session.flush()
    outbox.record(session, [_changed(held) for held in opened.values()])
    return opened


def adjust(session: Session, product_id: int, *, change: int, low_at: int = LOW_AT) -> Stock:
    """Change what is on hand of a product whose row is locked; tell when little is left.

    Raises:
        StockReserved: orders hold more than would be left.
        StockTooLarge: nobody stores that many.
    """
    moved = _move(session, product_id, reserve=0, receive=change)
    if moved:
        _tell(session, {product_id: -change}, low_at=low_at)
    held = session.get_one(Stock, product_id, populate_existing=True)
    if not moved:
        raise StockReserved(held, change)
    if held.on_hand > MOST_ON_HAND:
        raise StockTooLarge(product_id)
    return held


def hold(
    session: Session, *, order_id: int, quantities: Mapping[int, int], low_at: int = LOW_AT
) -> list[Change]:
    """Reserve stock for an order, product by product in the order of their ids.

    Returns what is to be recorded. At most `low_at` left is told once, when it comes to that, and
    so is nothing left.

    Raises:
        OutOfStock: there is not enough of one; nothing is to be committed then.
    """
    for product_id in sorted(quantities):
        quantity = quantities[product_id]
        if not _move(session, product_id, reserve=quantity):
            available = session.get_one(Stock, product_id).available
            raise OutOfStock(product_id, quantity, available)
    insert_rows(
        session,
        table_of(Reservation),
        [
            {"order_id": order_id, "product_id": product_id, "quantity": quantity, "state": "held"}
            for product_id, quantity in quantities.items()
        ],
    )
    return _changes(session, quantities, low_at=low_at)


def release(session: Session, *, order_ids: Sequence[int]) -> None:
    """Give back what these orders still hold."""
    taken = _end_reservations(session, order_ids, ReservationState.RELEASED)
    for product_id in sorted(taken):
        _move(session, product_id, reserve=-taken[product_id])
    _tell(session, taken)


def commit(session: Session, *, order_ids: Sequence[int]) -> None:
    """Let what these orders hold leave the house."""
    taken = _end_reservations(session, order_ids, ReservationState.COMMITTED)
    for product_id in sorted(taken):
        _move(session, product_id, reserve=-taken[product_id], receive=-taken[product_id])
    _tell(session, taken)


def hold_instead(
    session: Session, *, order_id: int, quantities: Mapping[int, int], low_at: int = LOW_AT
) -> None:
    """Let an order hold these quantities instead of those it holds now.

    Raises:
        OutOfStock: there is not enough of one; nothing is to be committed then.
    """
    mine = Reservation.order_id == order_id
    held = _quantities(session, order_id, ReservationState.HELD)
    taken: dict[int, int] = {}
    for product_id in sorted(held.keys() | quantities.keys()):
        more = quantities.get(product_id, 0) - held.get(product_id, 0)
        if not more:  # its stock has no new version to tell of
            continue
        if not _move(session, product_id, reserve=more):
            available = session.get_one(Stock, product_id, populate_existing=True).available
            raise OutOfStock(product_id, more, available)
        taken[product_id] = more
    session.execute(sa.delete(Reservation).where(mine))
    insert_rows(
        session,
        table_of(Reservation),
        [
            {"order_id": order_id, "product_id": product_id, "quantity": quantity, "state": "held"}
            for product_id, quantity in quantities.items()
        ],
    )
    _tell(session, taken, low_at=low_at)


def hold_again(session: Session, *, order_id: int, low_at: int = LOW_AT) -> bool:
    """Hold what an order has released, all or nothing; False if there is too little by now."""
    wanted = _quantities(session, order_id, ReservationState.RELEASED)
    enough = session.execute(
        sa.select(Stock.product_id, Stock.on_hand - Stock.reserved)
        .where(Stock.product_id.in_(list(wanted)))
        .order_by(Stock.product_id)
        .with_for_update()
    )
    if any(available < wanted[product_id] for product_id, available in enough):
        return False
    for product_id in sorted(wanted):
        _move(session, product_id, reserve=wanted[product_id])
    session.execute(
        sa.update(Reservation)
        .where(Reservation.order_id == order_id)
        .values(state=ReservationState.HELD)
    )
    _tell(session, wanted, low_at=low_at)
    return True


def delivered(session: Session, order_id: int) -> dict[int, int]:
    """Tell how much of each product has left the house for an order."""
    return _quantities(session, order_id, ReservationState.COMMITTED)


def held_by(session: Session, order_ids: Sequence[int]) -> dict[int, list[int]]:
    """List the products that each of these orders still holds stock of."""
    products: dict[int, list[int]] = {}
    for order_id, product_id in _HELD_BY.run(session, orders=order_ids).rows:
        products.setdefault(order_id, []).append(product_id)
    return products


def _quantities(session: Session, order_id: int, state: ReservationState) -> dict[int, int]:
    rows = session.execute(
        sa.select(Reservation.product_id, Reservation.quantity).where(
            Reservation.order_id == order_id, Reservation.state == state
        )
    )
    return {row.product_id: row.quantity for row in rows}


def _end_reservations(
    session: Session, order_ids: Sequence[int], state: ReservationState
) -> dict[int, int]:
    if not order_ids:
        return {}
    rows = _HELD_OF.run(session, orders=order_ids).rows
    taken = {product_id: int(quantity) for product_id, quantity in rows}
    if taken:
        _END.run(session, orders=order_ids, ends=state)
    return taken


def _move(session: Session, product_id: int, *, reserve: int, receive: int = 0) -> bool:
    """Change one stock row unless less than nothing would then be available; False if so."""
    changed = _MOVE.run(
        session,
        moved=product_id,
        received=receive,
        taken=reserve,
        needed=reserve - receive,
        updated_at=clock.now(session),
    )
    return changed.count == 1


def _tell(session: Session, taken: Mapping[int, int], *, low_at: int | None = None) -> None:
    if not taken:
        return
    outbox.record(session, _changes(session, taken, low_at=low_at))


def _changes(
    session: Session, taken: Mapping[int, int], *, low_at: int | None = None
) -> list[Change]:
    """Say how much there is now of products, of which so much has just been `taken`."""
    now = clock.now(session)
    changes: list[Change] = []
    for product_id, on_hand, reserved, version in _LEVELS.run(session, ids=tuple(taken)).rows:
        held = Level(product_id, on_hand, reserved, version, now)
        changes.append(_changed(held))
        if low_at is not None:
            changes += _warn(session, held, taken[held.product_id], low_at)
    return changes


def _warn(session: Session, held: Level, taken: int, low_at: int) -> list[Change]:
    """Tell of each threshold that was crossed downward; an event is a version of its own."""
    before = held.available + taken
    warnings = []
    for threshold, kind in {low_at: "stock.low", 0: "stock.out"}.items():
        if held.available <= threshold < before:
            held = replace(held, version=held.version + 1)
            warnings.append(_changed(held, kind))
    if warnings:
        _NUMBER.run(session, moved=held.product_id, version=held.version)
    return warnings


def _changed(held: Stock | Level, kind: str = "stock.changed") -> Change:
    return Change(PRODUCTS, kind, f"stock/{held.product_id}", held.version, public(held))


def public(held: Stock | Level) -> dict[str, Any]:
    """Show stock as subscribers see it."""
    shown: StockData = {
        "product_id": held.product_id,
        "on_hand": held.on_hand,
        "reserved": held.reserved,
        "available": held.available,
        "version": held.version,
        "updated_at": held.updated_at,
    }
    return cast("dict[str, Any]", shown)
