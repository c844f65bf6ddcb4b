"""What clients asked for and were answered: the half of the truth that is not in our tables."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import sqlalchemy as sa

from infra.db import Database

PROBLEM = "application/problem+json"
# Without a key of the client's, the server makes one that begins so.
_OURS = "auto:"


@dataclass(frozen=True)
class Answer:
    """What came back; nothing at all if the connection was lost."""

    status: int = 0
    body: Any = None

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows what became of the request."""
        return self.status == 0 or self.status >= httpx.codes.INTERNAL_SERVER_ERROR


@dataclass
class Journal:
    """The log of all clients. What breaks a promise at once is a violation at once."""

    accepted: dict[int, str | None] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    changed: dict[int, dict[int, int]] = field(default_factory=dict)
    # Orders with a change that was not answered: it may be carried out at any later time.
    doubted: set[int] = field(default_factory=set)
    refunds: dict[int, float] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    _first_of: dict[tuple[int, str], int] = field(default_factory=dict)
    _asked_keys: set[tuple[int, str]] = field(default_factory=set)
    _lost_without_key: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, request: str, answer: httpx.Response | None) -> Answer:
        """Write down an answer, and look whether it is one that we give."""
        with self._lock:
            if answer is None:
                self.statuses["lost"] += 1
                return Answer()
            self.statuses[str(answer.status_code)] += 1
            if fault := _fault_of(answer):
                self.violations.append(f"answer: {request}: {fault}: {answer.text[:500]}")
        return Answer(answer.status_code, answer.json() if answer.content else None)

    def expect(self, request: str, answer: Answer, *statuses: int) -> bool:
        """Look whether a request got one of the answers that it may get; tell if it got any."""
        if answer.is_lost:
            return False
        if answer.status not in statuses:
            with self._lock:
                self.violations.append(f"answer: {request}: {answer.status} {answer.body}")
        return True

    def asked(self, user_id: int, key: str | None) -> None:
        """Write down that an order is about to be asked for."""
        if key is not None:
            with self._lock:
                self._asked_keys.add((user_id, key))

    def placed(self, user_id: int, key: str | None, answer: Answer) -> None:
        """Write down what became of an order: the same key must always give the same."""
        with self._lock:
            if answer.is_lost:
                self._lost_without_key += key is None
            if answer.status != httpx.codes.CREATED:
                return
            order_id = int(answer.body["id"])
            if key is None and order_id in self.accepted:
                self.violations.append(f"I9: order {order_id} is the answer to two requests")
            self.accepted[order_id] = key
            first = order_id if key is None else self._first_of.setdefault((user_id, key), order_id)
            if first != order_id:
                self.violations.append(f"I9: key {key} gave order {first}, then {order_id}")

    def check(self, database: Database) -> Iterator[str]:
        """Compare what clients were told with what is stored, when all is at rest."""
        yield from self.violations
        yield from self._check_orders(database)
        yield from self._check_refunds(database)
        yield from self._check_changes(database)

    def _check_orders(self, database: Database) -> Iterator[str]:
        stored = _rows(database, "SELECT id, user_id, idempotency_key, status FROM orders")
        keys: dict[tuple[int, str], set[int]] = defaultdict(set)
        for row in stored:
            keys[row.user_id, row.idempotency_key].add(row.id)
        nobodys = [row.id for row in stored if row.id not in self.accepted]
        unasked = [
            row.id
            for row in stored
            if not row.idempotency_key.startswith(_OURS)
            and (row.user_id, row.idempotency_key) not in self._asked_keys
        ]
        untold = [
            row.id
            for row in stored
            if row.idempotency_key.startswith(_OURS) and row.id in set(nobodys)
        ]
        doubled = {key: ids for key, ids in keys.items() if len(ids) > 1}
        revived = [
            (row.id, row.status)
            for row in stored
            if row.id in self.cancelled and row.status != "cancelled"
        ]
        if unasked:
            yield f"clients: orders that nobody asked for: {unasked}"
        if len(untold) > self._lost_without_key:
            yield f"clients: {len(untold)} orders nobody was told of: {untold}"
        if doubled:
            yield f"I9: keys with several orders: {doubled}"
        if revived:
            yield f"clients: cancelled orders that are not: {revived}"

    def _check_refunds(self, database: Database) -> Iterator[str]:
        stored = {
            row.id: row
            for row in _rows(database, "SELECT id, amount_minor, state, order_id FROM refund")
        }
        for refund_id, amount in self.refunds.items():
            row = stored.get(refund_id)
            if row is None or row.amount_minor != round(amount * 100):
                yield f"clients: refund {refund_id} of {amount}: {row}"
            elif row.state != "succeeded":
                yield f"clients: refund {refund_id} ended as {row.state}"

    def _check_changes(self, database: Database) -> Iterator[str]:
        lines: dict[int, dict[int, int]] = defaultdict(dict)
        for row in _rows(database, "SELECT order_id, product_id, quantity FROM order_line"):
            lines[row.order_id][row.product_id] = row.quantity
        for order_id, wanted in self.changed.items():
            if order_id not in self.doubted and lines[order_id] != wanted:
                yield f"clients: order {order_id} was changed to {wanted}, is {lines[order_id]}"


def _fault_of(answer: httpx.Response) -> str | None:
    if answer.is_success:
        return None
    if not answer.headers.get("content-type", "").startswith(PROBLEM):
        return "no problem"
    if answer.is_server_error and not answer.headers.get("retry-after"):
        return f"{answer.status_code} without Retry-After"
    return None


def _rows(database: Database, query: str) -> list[Any]:
    with database.reads() as session:
        return list(session.execute(sa.text(query)).all())
