"""What was asked of a payment gateway for an order, how long it took and what came of it.

The first send of a charge that succeeds is not written down: its attempt says the same, and the
settlement stays as fast as it is. A gateway that is down is tried every few seconds: of calls that
were not executed for the same reason, the first stands for all. Every other call is written.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra.database.rows import among, insert_rows, table_of
from infra.db import Base, BigId, Row, UtcDateTime, binary_string
from shop.gateways.protocol import Missing, NotSent, Succeeded

T = TypeVar("T")
_REASON_LENGTH = 200


class Operation(StrEnum):
    """What was asked of the gateway; `by_hand` is what a person found out there."""

    CHARGE = "charge"
    FIND_CHARGE = "find_charge"
    REFUND = "refund"
    FIND_REFUND = "find_refund"
    BY_HAND = "by_hand"


class GatewayCall(Base):
    """One call to a gateway; `outcome` is the answer's kind, `started_at` by the database."""

    __tablename__ = "gateway_call"
    __table_args__ = (sa.Index(None, "order_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    order_id: Mapped[int] = mapped_column(BigId)
    operation: Mapped[str] = mapped_column(binary_string(16))
    key: Mapped[str] = mapped_column(binary_string(64))
    outcome: Mapped[str] = mapped_column(binary_string(16))
    reason: Mapped[str | None] = mapped_column(sa.String(_REASON_LENGTH))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int] = mapped_column(sa.Integer)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has been answered; times by this process's monotonic clock."""

    operation: Operation
    key: str
    answer: object
    began_s: float
    ended_s: float


class CallLog:
    """Collects the calls that are made for one order until they are written down."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls: tuple[Call, ...] = ()

    def timed(self, operation: Operation, key: str, call: Callable[[], T]) -> T:
        """Make a call and remember it."""
        began_s = time.monotonic()
        answer = call()
        self.add(operation, key, answer, began_s=began_s)
        return answer

    def add(self, operation: Operation, key: str, answer: object, *, began_s: float) -> None:
        """Remember a call that has just been answered."""
        made = Call(operation, key, answer, began_s, time.monotonic())
        self.calls = (*self.calls, made)


def record(session: Session, logs: Iterable[tuple[int, CallLog]], *, at: datetime) -> None:
    """Write down what was asked for orders, by their ids.

    `at` is now by the database's clock, from which the calls' starts follow.
    """
    now_s = time.monotonic()
    rows = [
        {
            "order_id": order_id,
            "operation": call.operation.value,
            "key": call.key,
            "outcome": _outcome(call.answer),
            "reason": _reason(call.answer),
            "started_at": at - timedelta(seconds=now_s - call.began_s),
            "duration_ms": round((call.ended_s - call.began_s) * 1000),
        }
        for order_id, log in logs
        for call in log.calls
    ]
    insert_rows(session, table_of(GatewayCall), _without_repeats(session, rows))


def last_sent_at(session: Session, order_id: int, *, key: str) -> datetime | None:
    """Tell when a charge or a refund was last sent, as far as it is written down."""
    sent = (
        sa.select(GatewayCall.started_at)
        .where(
            GatewayCall.order_id == order_id,
            GatewayCall.key == key,
            GatewayCall.operation.in_([Operation.CHARGE, Operation.REFUND]),
        )
        .order_by(GatewayCall.id.desc())
        .limit(1)
    )
    return session.scalar(sent)


def _without_repeats(session: Session, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    unsent = {row["order_id"] for row in rows if row["outcome"] == _UNSENT}
    if not unsent:
        return rows
    table = table_of(GatewayCall)
    newest = (
        sa.select(sa.func.max(table.c.id))
        .where(among(table.c.order_id, sorted(unsent)))
        .group_by(table.c.order_id)
    )
    before = session.execute(sa.select(table).where(table.c.id.in_(newest))).mappings()
    known = {_tried(row) for row in before}
    return [row for row in rows if row["outcome"] != _UNSENT or _tried(row) not in known]


def _tried(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("order_id", "operation", "key", "outcome", "reason"))


def _outcome(answer: object) -> str:
    # NotSent becomes not_sent: the protocol's own words.
    name = type(answer).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


_UNSENT = _outcome(NotSent(""))


def _reason(answer: object) -> str | None:
    if isinstance(answer, Succeeded | Missing):
        return None
    reason = getattr(answer, "reason", None)
    return None if reason is None else str(reason)[:_REASON_LENGTH]
