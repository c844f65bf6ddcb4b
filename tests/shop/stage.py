"""A shop over a clean database, spoken to in the words of the tests."""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa

from infra import clock
from infra.db import Base, Database, transact
from infra.errors import AppError
from infra.outbox import Event
from shop import (
    amendment,
    cancellation,
    checkout,
    claiming,
    fulfilment,
    movements,
    orders,
    outcomes,
    payments,
    products,
    refund_requests,
    repayments,
    settlement,
    timeline,
)
from shop.checkout import Request, Terms
from shop.claims import Claim
from shop.gateways.protocol import Answer, Missing, PaymentGateway
from shop.ledger import Entry
from shop.movements import Movement, Reason, StockMovement
from shop.payments import Attempt, Payment
from shop.products import Draft
from shop.refund_requests import RefundRequest
from shop.refunds import Refund
from shop.settlement import Settler
from shop.stock import LOW_AT, Handover, Reservation, Stock
from shop.sync import SyncRun

T = TypeVar("T")

# Later than any real clock, so that by then everything is due that is due at all.
NOON = datetime(2100, 1, 1, 12, tzinfo=UTC)
BUYER = 7
OPERATOR = 1
TTL = timedelta(minutes=15)
# A run that is to settle all does so, however long a loaded machine takes.
BUDGET_S = 60.0


@dataclass(frozen=True)
class Level:
    """How much there is of a product, and how much of it is spoken for."""

    on_hand: int
    reserved: int


@dataclass(frozen=True)
class Told:
    """An event as it stands in the database."""

    type: str
    subject: str
    version: int
    data: dict[str, Any]


class Shop:
    """Sells, settles and fulfils; reads back what came of it."""

    def __init__(
        self,
        database: Database,
        gateway: PaymentGateway,
        *,
        fee_rate: Decimal = Decimal("0.20"),
        fulfilment_delay: timedelta = timedelta(0),
        low_stock: int = LOW_AT,
    ) -> None:
        self.database = database
        self.gateway = gateway
        self.rung = 0
        self._terms = Terms("USD", fee_rate, gateway.name, low_stock)
        self._handover = Handover(fulfilment_delay, low_stock)
        self._names = itertools.count(1)

    def sell(self, price_minor: int = 5000, *, quantity: int = 10) -> int:
        """Put a product on sale; return its id."""
        draft = Draft(f"Thing {next(self._names)}", price_minor, "USD")
        return transact(
            self.database.sessions,
            lambda session: products.create(session, draft, quantity=quantity).product.id,
        )

    def withdraw(self, product_id: int) -> None:
        """Take a product off sale."""
        transact(self.database.sessions, lambda session: products.withdraw(session, product_id))

    def move(self, product_id: int, change: int) -> None:
        """Count stock anew, as an operator."""
        wanted = Movement(product_id, change, Reason.CORRECTION, OPERATOR)
        movements.record(self.database.sessions, wanted, low_at=0)

    def place(
        self,
        quantities: Mapping[int, int],
        *,
        user_id: int = BUYER,
        key: str | None = None,
        expected_total_minor: int | None = None,
        token: str = "tok_visa",
    ) -> dict[str, Any]:
        """Place an order; return it as the API shows it."""
        request = Request(user_id, quantities, expected_total_minor, token)
        return checkout.place(
            self.database.sessions, request, terms=self._terms, idempotency_key=key
        )

    def place_one(self, *, token: str = "tok_visa") -> int:
        """Place an order of one new product at 60.00; return the order's id."""
        return int(self.place({self.sell(): 1}, token=token)["id"])

    def paid(self, quantities: Mapping[int, int], *, now: datetime = NOON) -> int:
        """Place an order and take the money; return the order's id."""
        order_id = int(self.place(quantities)["id"])
        self.settle(now=now)
        return order_id

    def settle(self, *, now: datetime | None = NOON) -> int:
        """Run the settlement once."""
        return settlement.settle_due(self.settler(), now=now)

    def settler(self) -> Settler:
        """Make what the settlement works with."""
        return Settler(
            self.database.sessions,
            self.gateway,
            self._ring,
            self._handover,
            budget_s=BUDGET_S,
        )

    def claim(self, *, token: str = "somebody", now: datetime = NOON) -> list[Claim]:
        """Claim what is due and do no more, like a worker that dies right after."""
        return transact(
            self.database.sessions,
            lambda session: claiming.claim(
                session, token=token, limit=200, gateway=self.gateway.name, now=now
            ),
        )

    def write(
        self,
        claim: Claim,
        answer: Answer | Missing,
        *,
        token: str = "somebody",
        now: datetime = NOON,
    ) -> int:
        """Settle one answer as the holder of a lease; return how many payments that settled."""
        return self.write_all([claim], answer, token=token, now=now)

    def write_all(
        self,
        claims: Sequence[Claim],
        answer: Answer | Missing,
        *,
        token: str = "somebody",
        now: datetime = NOON,
    ) -> int:
        """Settle the same answer to each of many."""
        return transact(
            self.database.sessions,
            lambda session: outcomes.settle(
                session,
                [(claim, answer) for claim in claims],
                token=token,
                handover=self._handover,
                now=now,
            ),
        )

    def fulfil(self, *, budget_s: float = BUDGET_S, now: datetime | None = NOON) -> int:
        """Run the fulfilment once."""
        return fulfilment.fulfil_due(self.database.sessions, budget_s=budget_s, now=now)

    def give_back(self, *, now: datetime | None = NOON) -> int:
        """Send due refunds once."""
        return repayments.settle_due(
            self.database.sessions, self.gateway, ring_again=self._ring, now=now
        )

    def cancel(self, order_id: int, *, user_id: int | None = BUYER) -> dict[str, Any]:
        """Cancel an order."""
        return transact(
            self.database.sessions,
            lambda session: cancellation.cancel(session, order_id, user_id=user_id),
        )

    def amend(
        self,
        order_id: int,
        quantities: Mapping[int, int],
        *,
        expected_total_minor: int | None = None,
    ) -> dict[str, Any]:
        """Let an order be about other goods."""
        return transact(
            self.database.sessions,
            lambda session: amendment.amend(
                session,
                order_id,
                quantities,
                user_id=BUYER,
                terms=self._terms,
                expected_total_minor=expected_total_minor,
            ),
        )

    def expire(
        self,
        *,
        ttl: timedelta = TTL,
        budget_s: float = BUDGET_S,
        now: datetime | None = None,
    ) -> int:
        """End what was not paid in time; a moment after that by default."""
        later = now or self.now() + ttl + timedelta(seconds=1)
        return cancellation.expire_due(
            self.database.sessions, ttl=ttl, budget_s=budget_s, now=later
        )

    def ask_refund(
        self,
        order_id: int,
        amount_minor: int | None = None,
        *,
        restock: bool = False,
        items: Mapping[int, int] | None = None,
        key: str | None = None,
        now: datetime = NOON,
    ) -> dict[str, Any]:
        """Ask for a refund, as an operator."""
        wanted = RefundRequest(OPERATOR, amount_minor, "said so", restock, items)
        return transact(
            self.database.sessions,
            lambda session: refund_requests.request(
                session, order_id, wanted, idempotency_key=key, now=now
            ),
        )

    def look_again(self, order_id: int, *, now: datetime = NOON) -> None:
        """Make a payment due, as a webhook does."""
        transact(
            self.database.sessions,
            lambda session: session.execute(
                sa.update(Payment).where(Payment.order_id == order_id).values(due_at=now)
            ),
        )

    def timeline(self, order_id: int, *, user_id: int | None = None) -> dict[str, Any]:
        """Read what happened to an order."""
        with self.database.reads() as session:
            return timeline.get(session, order_id, user_id=user_id)

    def now(self) -> datetime:
        """Read the database's clock."""
        return transact(self.database.sessions, clock.now)

    def order(self, order_id: int) -> dict[str, Any]:
        """Read an order as the API shows it."""
        with self.database.reads() as session:
            return orders.get(session, order_id, user_id=None)

    def status(self, order_id: int) -> str:
        """Read an order's status."""
        return str(self.order(order_id)["status"])

    def payment(self, order_id: int) -> Payment:
        """Read the payment of an order."""
        with self.database.reads() as session:
            return session.scalars(sa.select(Payment).where(Payment.order_id == order_id)).one()

    def payment_document(self, order_id: int) -> dict[str, Any]:
        """Read the payment of an order as the API shows it."""
        with self.database.reads() as session:
            return payments.get(session, self.payment(order_id).id, user_id=None)

    def attempt(self, order_id: int) -> Attempt:
        """Read the only charge of an order."""
        with self.database.reads() as session:
            return session.scalars(sa.select(Attempt).where(Attempt.order_id == order_id)).one()

    def refund(self, order_id: int) -> Refund:
        """Read the only refund of an order."""
        with self.database.reads() as session:
            return session.scalars(sa.select(Refund).where(Refund.order_id == order_id)).one()

    def refunds(self, order_id: int) -> list[Refund]:
        """Read the refunds of an order, oldest first."""
        query = sa.select(Refund).where(Refund.order_id == order_id).order_by(Refund.id)
        with self.database.reads() as session:
            return list(session.scalars(query))

    def reservations(self, order_id: int) -> dict[int, str]:
        """Read where the stock has gone that an order held, by product."""
        with self.database.reads() as session:
            query = sa.select(Reservation.product_id, Reservation.state)
            rows = session.execute(query.where(Reservation.order_id == order_id))
            return {row.product_id: row.state for row in rows}

    def level(self, product_id: int) -> Level:
        """Read the stock of a product."""
        with self.database.reads() as session:
            held = session.get_one(Stock, product_id)
            return Level(held.on_hand, held.reserved)

    def wishes(self) -> dict[int, str]:
        """Read where the syncs stand that were asked for, by id."""
        with self.database.reads() as session:
            return {run.id: run.state for run in session.scalars(sa.select(SyncRun))}

    def movements(self, product_id: int) -> list[StockMovement]:
        """Read how the stock of a product was moved, oldest first."""
        query = sa.select(StockMovement).where(StockMovement.product_id == product_id)
        with self.database.reads() as session:
            return list(session.scalars(query.order_by(StockMovement.id)))

    def ledger(self, order_id: int) -> dict[tuple[str, str], int]:
        """Read what was booked for an order: amounts by movement and account."""
        with self.database.reads() as session:
            rows = session.scalars(sa.select(Entry).where(Entry.order_id == order_id))
            return {(row.txn, row.account): row.amount_minor for row in rows}

    def told(self, subject: str | None = None) -> list[Told]:
        """Read the events, of one aggregate or of all, as they were written."""
        query = sa.select(Event).order_by(Event.id)
        if subject is not None:
            query = query.where(Event.subject == subject)
        with self.database.reads() as session:
            return [
                Told(row.type, row.subject, row.version, orjson.loads(row.data))
                for row in session.scalars(query)
            ]

    def told_types(self, subject: str) -> list[str]:
        """Read the types of an aggregate's events, as they were written."""
        return [event.type for event in self.told(subject)]

    def snapshot(self) -> dict[str, list[tuple[Any, ...]]]:
        """Read every row of every table, to see that nothing changed."""
        with self.database.engine.execution_options(readonly=True).connect() as connection:
            return {
                name: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM `{name}`")]  # noqa: S608 - our own table's name
                for name in Base.metadata.tables
            }

    def _ring(self) -> None:
        self.rung += 1


def as_told(document: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what the API shows into what an event holds of it."""
    told: dict[str, Any] = orjson.loads(orjson.dumps(document, option=orjson.OPT_UTC_Z))
    return told


class Interruption:
    """Does something, once, right before a database sends a certain statement."""

    def __init__(self, database: Database, statement: str, action: Callable[[], object]) -> None:
        self._statement = statement
        self._actions = [action]
        sa.event.listen(database.engine, "before_cursor_execute", self._watch)

    def _watch(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if self._actions and statement.startswith(self._statement):
            self._actions.pop()()


class Statements:
    """Counts what is sent to a database."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        sa.event.listen(database.engine, "before_cursor_execute", self._note)

    def _note(self, *_statement: object) -> None:
        self.count += 1


def at_once(calls: Sequence[Callable[[], T]]) -> list[T | AppError]:
    """Make calls at the same moment, each in a thread of its own; our errors are answers too."""
    start = threading.Barrier(len(calls), timeout=30)

    def make(call: Callable[[], T]) -> T | AppError:
        start.wait()
        try:
            return call()
        except AppError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))
