"""What was asked of a payment gateway for an order, how long it took and what came of it.

The first send of a charge that succeeds is not written down: its attempt says the same, and the
settlement stays as fast as it is. Every other call is.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from infra.db import Base, BigId, UtcDateTime, binary_string
from shop.gateways.protocol import Missing, Succeeded

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
    if rows:
        session.execute(sa.insert(GatewayCall.__table__), rows)  # type: ignore[arg-type] # FromClause


def _outcome(answer: object) -> str:
    # NotSent becomes not_sent: the protocol's own words.
    name = type(answer).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


def _reason(answer: object) -> str | None:
    if isinstance(answer, Succeeded | Missing):
        return None
    reason = getattr(answer, "reason", None)
    return None if reason is None else str(reason)[:_REASON_LENGTH]
