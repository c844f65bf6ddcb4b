"""Stock movements: what came, went or was found otherwise, with a reason, outside of orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra import clock
from infra.db import Base, BigId, Sessions, UtcDateTime, binary_string, is_duplicate, transact
from infra.errors import Invalid
from shop import products, stock
from shop.stock import Stock


class Reason(StrEnum):
    """Why stock was moved."""

    DELIVERY = "delivery"
    RETURN = "return"
    CORRECTION = "correction"
    DAMAGE = "damage"
    LOSS = "loss"
    OTHER = "other"


class StockMovement(Base):
    """One recorded change of what is on hand; `on_hand` is what there was after it."""

    __tablename__ = "stock_movement"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "idempotency_key"),
        sa.Index(None, "product_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    product_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("product.id"))
    change: Mapped[int] = mapped_column(sa.BigInteger)
    reason: Mapped[str] = mapped_column(binary_string(20))
    note: Mapped[str] = mapped_column(sa.String(500))
    user_id: Mapped[int] = mapped_column(BigId)
    on_hand: Mapped[int] = mapped_column(sa.BigInteger)
    idempotency_key: Mapped[str | None] = mapped_column(binary_string(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class MovementKeyReused(Invalid):
    """The idempotency key came before, with another movement."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another movement: make a new one.")


@dataclass(frozen=True, slots=True)
class Movement:
    """What somebody wants recorded."""

    product_id: int
    change: int
    reason: Reason
    user_id: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """The stock of a product with a page of its movements, newest first."""

    held: Stock
    movements: Sequence[StockMovement]

    def public(self) -> dict[str, Any]:
        """Show it as the API does."""
        return {
            **stock.public(self.held),
            "movements": [public(movement) for movement in self.movements],
        }


def record(
    sessions: Sessions, wanted: Movement, *, low_at: int, idempotency_key: str | None = None
) -> dict[str, Any]:
    """Move stock and write down why; the same key again gives the first movement.

    Raises:
        ProductNotFound: the product does not exist or was withdrawn.
        StockReserved: orders hold more than would be left.
        StockTooLarge: nobody stores that many.
        MovementKeyReused: the key belongs to another movement.
    """

    def move(session: Session) -> dict[str, Any]:
        return _record(session, wanted, low_at=low_at, key=idempotency_key)

    try:
        return transact(sessions, move)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        # A twin that moved another product was faster: now it is there to be compared with.
        return transact(sessions, move)


def get_level(
    session: Session, product_id: int, *, below_id: int | None = None, limit: int = 50
) -> Level:
    """Read the stock of a product on sale with its newest movements, from below `below_id` on.

    Raises:
        ProductNotFound: it does not exist or was withdrawn.
    """
    held = products.get(session, product_id).stock
    query = (
        sa.select(StockMovement)
        .where(StockMovement.product_id == product_id)
        .order_by(StockMovement.id.desc())
        .limit(limit)
    )
    if below_id is not None:
        query = query.where(StockMovement.id < below_id)
    return Level(held, session.scalars(query).all())


def public(movement: StockMovement) -> dict[str, Any]:
    """Show a movement as the API does."""
    return {
        "id": movement.id,
        "product_id": movement.product_id,
        "change": movement.change,
        "reason": movement.reason,
        "note": movement.note,
        "user_id": movement.user_id,
        "on_hand": movement.on_hand,
        "created_at": movement.created_at,
    }


def _record(session: Session, wanted: Movement, *, low_at: int, key: str | None) -> dict[str, Any]:
    products.lock(session, wanted.product_id)
    # Twins wait for each other at the product's lock, so the first is to be seen by now.
    if key is not None and (first := _find_first(session, wanted, key)):
        return public(first)
    held = stock.adjust(session, wanted.product_id, change=wanted.change, low_at=low_at)
    movement = StockMovement(
        product_id=wanted.product_id,
        change=wanted.change,
        reason=wanted.reason.value,
        note=wanted.note,
        user_id=wanted.user_id,
        on_hand=held.on_hand,
        idempotency_key=key,
        created_at=clock.now(session),
    )
    session.add(movement)
    session.flush()
    return public(movement)


def _find_first(session: Session, wanted: Movement, key: str) -> StockMovement | None:
    first = session.scalar(
        sa.select(StockMovement).where(
            StockMovement.user_id == wanted.user_id, StockMovement.idempotency_key == key
        )
    )
    if first is None:
        return None
    same = Movement(first.product_id, first.change, Reason(first.reason), first.user_id, first.note)
    if same != wanted:
        raise MovementKeyReused
    return first
