"""What a page, a claim and a sweep cost in a shop of so many orders: rows read, time, plans."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from time import perf_counter

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, sessionmaker

from infra import clock, outbox
from infra.db import Base, Database, Sessions, open_database
from infra.events import short_way
from shop import cancellation, catalogue, claiming, fulfilment, held, orders, payments
from shop.catalogue import Filter, Sort
from shop.orders import OrderStatus
from tests.support.databases import speak_as_mysql
from tests.support.fill import fill
from tests.support.mariadb import MariaDB

PAGE = 50
Look = Callable[[Session], object]


def _inside(session: Session) -> Sessions:
    return sessionmaker(session.connection(), join_transaction_mode="create_savepoint")


LOOKS: dict[str, Look] = {
    "orders of all": lambda s: orders.list_page(s, user_id=None, before_id=None, limit=PAGE),
    "orders of a user": lambda s: orders.list_page(s, user_id=3, before_id=None, limit=PAGE),
    "a later page": lambda s: orders.list_page(s, user_id=3, before_id=900, limit=PAGE),
    "orders in a state": lambda s: orders.list_page(
        s, user_id=None, before_id=None, limit=PAGE, status=OrderStatus.REFUNDED
    ),
    "a later page of a state": lambda s: orders.list_page(
        s, user_id=None, before_id=900, limit=PAGE, status=OrderStatus.REFUNDED
    ),
    "claim": lambda s: claiming.claim(s, token="t" * 36, limit=200, gateway="sandbox"),
    "count of due payments": payments.count_due,
    "fulfilment": lambda s: fulfilment.fulfil_due(_inside(s)),
    "expiry": lambda s: cancellation.expire_due(_inside(s), ttl=timedelta(days=9999)),
    "what is held": held.count,
    "history": lambda s: outbox.list_after(s, "orders", seq=300, limit=500),
    "unnumbered events": short_way.look,
    "products": lambda s: catalogue.list_page(s, limit=PAGE),
    "cheapest products": lambda s: catalogue.list_page(s, limit=PAGE, sort=Sort.CHEAPEST),
    "a category": lambda s: catalogue.list_page(s, Filter(category="category 3"), limit=20),
    "products in stock": lambda s: catalogue.list_page(s, Filter(in_stock=True), limit=PAGE),
}


@dataclass(frozen=True)
class Plan:
    """How the server reads one table: the kind of access, and the index by which.

    `candidates` are what it chose from: a statement that names its index leaves it no other.
    """

    table: str
    access: str
    index: str
    candidates: str


@dataclass(frozen=True)
class Cost:
    """What one look costs: rows read by the server, seconds, and how it went about it."""

    rows: int
    seconds: float
    plans: tuple[Plan, ...]

    @property
    def scanned(self) -> list[str]:
        """The tables that were read as a whole."""
        return [plan.table for plan in self.plans if plan.access == "ALL"]


def costs(server: MariaDB, counts: Sequence[int], *, rounds: int) -> dict[int, dict[str, Cost]]:
    """Fill shops with so many orders and take every look at each, in turn; times are medians."""
    found: dict[int, dict[str, Cost]] = {count: {} for count in counts}
    with ExitStack() as stack:
        shops = {count: stack.enter_context(_shop_of(server, count)) for count in counts}
        for name, look in LOOKS.items():
            seconds: dict[int, list[float]] = {count: [] for count in counts}
            for _ in range(rounds):
                for count, shop in shops.items():
                    seconds[count].append(_timed(shop, look))
            for count, shop in shops.items():
                found[count][name] = _cost_of(shop, look, median(seconds[count]))
    return found


def tell(found: dict[int, dict[str, Cost]]) -> str:
    """Put the smallest and the largest shop side by side: time, rows, and the latter's plans."""
    small, large = found[min(found)], found[max(found)]
    lines: list[str] = []
    for name, cost in large.items():
        was = small[name]
        lines.append(
            f"{name}: {was.seconds * 1e3:.2f} -> {cost.seconds * 1e3:.2f} ms,"
            f" rows read {was.rows} -> {cost.rows}\n"
        )
        lines += [f"    {plan.table}: {plan.access} by {plan.index}\n" for plan in cost.plans]
    return "".join(lines)


@contextmanager
def _shop_of(server: MariaDB, count: int) -> Iterator[Database]:
    name = f"scale_{count}"
    database = open_database(server.create_database(name))
    speak_as_mysql(database.engine)
    Base.metadata.create_all(database.engine)
    fill(database.engine, count)
    yield database
    database.engine.dispose()
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE `{name}`")


def _cost_of(database: Database, look: Look, seconds: float) -> Cost:
    sent: list[tuple[str, object]] = []

    def remember(
        _connection: object, _cursor: object, text: str, values: object, *_: object
    ) -> None:
        sent.append((text, values))

    with database.sessions() as session:
        clock.now(session)
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", remember)
        before = _rows_read(connection)
        look(session)
        rows = _rows_read(connection) - before
        event.remove(connection, "before_cursor_execute", remember)
        plans = [plan for text, values in sent for plan in _plans_of(connection, text, values)]
    return Cost(rows, seconds, tuple(plans))


def _timed(database: Database, look: Look) -> float:
    with database.sessions() as session:
        clock.now(session)
        begun = perf_counter()
        look(session)
        return perf_counter() - begun


def _rows_read(connection: Connection) -> int:
    counted = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")
    return sum(int(value) for _, value in counted)


def _plans_of(connection: Connection, text: str, values: object) -> list[Plan]:
    if not re.match("SELECT|UPDATE", text) or "UTC_TIMESTAMP" in text:
        return []
    rows = connection.exec_driver_sql(f"EXPLAIN {text}", values).mappings()  # type: ignore[arg-type] # as they were sent
    return [
        Plan(*(str(row[name]) for name in ("table", "type", "key", "possible_keys")))
        for row in rows
        if row["table"] and not row["table"].startswith("<")  # what the statement itself has made
    ]
