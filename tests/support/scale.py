"""What a page, a claim and a sweep cost in a shop of so many orders: rows read, time, plans."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from time import perf_counter

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, sessionmaker

from infra import clock, outbox
from infra.db import Base, Database, Sessions, open_database
from shop import cancellation, catalogue, fulfilment, orders, payments, settlement
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
    "claim": lambda s: settlement.claim(s, token="t" * 36, limit=200, gateway="sandbox"),
    "count of due payments": payments.count_due,
    "fulfilment": lambda s: fulfilment.fulfil_due(_inside(s)),
    "expiry": lambda s: cancellation.expire_due(_inside(s), ttl=timedelta(days=9999)),
    "history": lambda s: outbox.list_after(s, "orders", seq=300, limit=500),
    "unnumbered events": lambda s: outbox.unnumbered_topics(s, ["orders", "payments"]),
    "products": lambda s: catalogue.list_page(s, limit=PAGE),
    "cheapest products": lambda s: catalogue.list_page(s, limit=PAGE, sort=Sort.CHEAPEST),
    "a category": lambda s: catalogue.list_page(s, Filter(category="category 3"), limit=20),
    "products in stock": lambda s: catalogue.list_page(s, Filter(in_stock=True), limit=PAGE),
}


@dataclass(frozen=True)
class Plan:
    """How the server reads one table: the kind of access, and the index by which."""

    table: str
    access: str
    index: str


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


def costs(server: MariaDB, count: int, *, rounds: int) -> dict[str, Cost]:
    """Fill a shop and take every look at it; times are medians of so many rounds."""
    with _shop_of(server, count) as database:
        return {name: _cost_of(database, look, rounds=rounds) for name, look in LOOKS.items()}


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


def _cost_of(database: Database, look: Look, *, rounds: int) -> Cost:
    with database.sessions() as session:
        clock.now(session)
        sent: list[tuple[str, object]] = []
        connection = session.connection()
        remember = lambda _c, _cursor, text, values, *_: sent.append((text, values))  # noqa: E731
        sa.event.listen(connection, "before_cursor_execute", remember)
        before = _rows_read(connection)
        look(session)
        rows = _rows_read(connection) - before
        sa.event.remove(connection, "before_cursor_execute", remember)
        plans = [plan for text, values in sent for plan in _plans_of(connection, text, values)]
        session.rollback()
        seconds = [_timed(session, look) for _ in range(rounds)]
    return Cost(rows, median(seconds), tuple(plans))


def _timed(session: Session, look: Look) -> float:
    begun = perf_counter()
    look(session)
    seconds = perf_counter() - begun
    session.rollback()
    return seconds


def _rows_read(connection: Connection) -> int:
    counted = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")
    return sum(int(value) for _, value in counted)


def _plans_of(connection: Connection, text: str, values: object) -> list[Plan]:
    if not re.match("SELECT|UPDATE", text) or "UTC_TIMESTAMP" in text:
        return []
    rows = connection.exec_driver_sql(f"EXPLAIN {text}", values).mappings()  # type: ignore[arg-type] # as they were sent
    return [
        Plan(str(row["table"]), str(row["type"]), str(row["key"])) for row in rows if row["table"]
    ]
