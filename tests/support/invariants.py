"""What must hold whatever has happened: the invariants, judged from outside.

Money is judged by the gateway's own ledger, streams by what a plain Redis reader sees. Every check
raises AssertionError with the number of the invariant that is broken.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Database
from shop import orders, payments, products, refunds, stock
from shop.products import Product
from shop.refunds import Refund
from shop.stock import Stock
from tests.support import contract
from tests.support.sandbox import Ledger
from workers.topics import TOPICS

FINAL = {"completed", "payment_failed", "expired", "cancelled", "refunded"}
_PAID = {"paid", "completed", "refunding", "refunded"}


@dataclass(frozen=True)
class Entry:
    """One entry of a stream, as a plain reader sees it."""

    id: str
    fields: dict[str, str]

    @property
    def seq(self) -> int:
        """The number within the topic."""
        return int(self.id.partition("-")[2])


def read_stream(client: "redis.Redis", topic: str) -> list[Entry]:
    """Read a whole stream with XRANGE."""
    entries: Any = client.xrange(f"events:{topic}")
    return [Entry(entry_id, fields) for entry_id, fields in entries]


def is_quiet(database: Database, accepted: Collection[int] = ()) -> bool:
    """Tell whether all work is done: every order final, every event numbered, nothing asked for."""
    with database.reads() as session:
        status = {row.id: row.status for row in _rows(session, "SELECT id, status FROM orders")}
        unnumbered = _count(session, "SELECT COUNT(*) FROM event WHERE seq IS NULL")
        syncing = _count(session, "SELECT COUNT(*) FROM sync_run WHERE ended_at IS NULL")
    return (
        status.keys() >= set(accepted)
        and FINAL.issuperset(status.values())
        and not unnumbered
        and not syncing
    )


def are_level(database: Database, client: "redis.Redis", topics: Collection[str] = TOPICS) -> bool:
    """Tell whether every stream has come as far as the database."""
    return all(
        [entry.id for entry in read_stream(client, topic)] == _numbered_ids(database, topic)
        for topic in topics
    )


def check_all(
    database: Database,
    client: "redis.Redis",
    ledger: Ledger,
    *,
    accepted: Collection[int] = (),
    topics: Collection[str] = TOPICS,
) -> None:
    """Check every invariant of a system at rest.

    `accepted` are the orders that clients were told of, `topics` those on which nothing moves.
    """
    check_orders(database, accepted)
    check_money(database, ledger)
    check_stock(database)
    check_streams(database, client, topics)
    check_contract(client, topics)
    check_payloads(database)
    check_nothing_claimed(database)


def check_orders(database: Database, accepted: Collection[int]) -> None:
    """I1: every accepted order exists and has reached a final state."""
    with database.reads() as session:
        status = {row.id: row.status for row in _rows(session, "SELECT id, status FROM orders")}
    lost = set(accepted) - status.keys()
    assert not lost, f"I1: accepted orders are gone: {sorted(lost)}"
    unfinished = {order: state for order, state in status.items() if state not in FINAL}
    assert not unfinished, f"I1: orders that never ended: {unfinished}"


def check_money(database: Database, ledger: Ledger) -> None:
    """I2, I3, I10: one charge an order, money kept as the orders say, our books balanced."""
    with database.reads() as session:
        rows = _rows(session, "SELECT id, status, total_minor, refunded_minor FROM orders")
        booked = _rows(
            session,
            "SELECT txn, order_id, SUM(amount_minor) AS amount, COUNT(*) AS sides,"
            " SUM(CASE WHEN account = 'sales' THEN 0 ELSE amount_minor END) AS received"
            " FROM ledger GROUP BY txn, order_id",
        )
        stored = {row.key for row in session.execute(sa.select(payments.Attempt.key))}
    known = {str(row.id) for row in rows}
    charges: dict[str, int] = defaultdict(int)
    for charge in ledger.charges:
        charges[charge.reference] += charge.status == "succeeded"
    doubled = {order: count for order, count in charges.items() if count > 1}
    assert not doubled, f"I2: orders charged more than once: {doubled}"
    assert charges.keys() <= known, f"I2: charges of no order: {sorted(charges.keys() - known)}"
    foreign = {charge.idempotency_key for charge in ledger.charges} - stored
    assert not foreign, f"I2: charges under keys that no attempt has stored: {foreign}"
    wrong = {
        row.id: (row.status, ledger.kept(row.id))
        for row in rows
        if ledger.kept(row.id) != _should_be_kept(row)
    }
    assert not wrong, f"I2/I3: the gateway keeps what the order does not say: {wrong}"
    unbalanced = [row.txn for row in booked if row.amount or row.sides != 2]
    assert not unbalanced, f"I10: movements that do not sum to zero: {unbalanced}"
    received: dict[int, int] = defaultdict(int)
    for row in booked:
        received[row.order_id] += int(row.received)
    differing = {row.id for row in rows if received[row.id] != ledger.kept(row.id)}
    assert not differing, f"I10: our ledger and the gateway's differ on orders {differing}"


def check_stock(database: Database) -> None:
    """I4: stock stays within its bounds, and what left the house is what orders took."""
    with database.reads() as session:
        rows = _rows(session, "SELECT product_id, on_hand, reserved FROM stock")
        taken = _rows(
            session,
            "SELECT product_id, state, SUM(quantity) AS quantity FROM reservation"
            " GROUP BY product_id, state",
        )
        moved = {
            row.product_id: int(row.quantity)
            for row in _rows(
                session,
                "SELECT product_id, SUM(`change`) AS quantity FROM stock_movement"
                " GROUP BY product_id",
            )
        }
        told = _stock_events(session)
    by_state = {(row.product_id, row.state): int(row.quantity) for row in taken}
    for row in rows:
        history = told[row.product_id]
        held = by_state.get((row.product_id, "held"), 0)
        gone = by_state.get((row.product_id, "committed"), 0)
        assert row.reserved == held, f"I4: product {row.product_id} reserves {row.reserved}: {held}"
        came = history[0]["on_hand"] + moved.get(row.product_id, 0)
        assert row.on_hand + gone == came, f"I4: product {row.product_id} leaks"
        outside = [seen for seen in history if not 0 <= seen["reserved"] <= seen["on_hand"]]
        assert not outside, f"I4: stock out of bounds: {outside}"


def check_streams(
    database: Database, client: "redis.Redis", topics: Collection[str] = TOPICS
) -> None:
    """I5, I6, I8: the streams hold exactly the committed events, dense, versions in order."""
    for topic in topics:
        with database.reads() as session:
            rows = _rows(
                session,
                "SELECT epoch, seq, type, subject, version, data FROM event"
                " WHERE topic = :topic ORDER BY seq",
                topic=topic,
            )
        numbers = [row.seq for row in rows]
        assert numbers == list(range(1, len(rows) + 1)), f"I5: {topic} is not dense: {numbers}"
        entries = read_stream(client, topic)
        assert [entry.id for entry in entries] == [f"{row.epoch}-{row.seq}" for row in rows], (
            f"I5: the stream of {topic} is not what the database says"
        )
        for row, entry in zip(rows, entries, strict=True):
            _check_entry(topic, row, entry)
        check_versions(topic, entries)


def check_contract(client: "redis.Redis", topics: Collection[str] = TOPICS) -> None:
    """Every entry is what the published contract says of its type."""
    for topic in topics:
        for entry in read_stream(client, topic):
            contract.check_entry(topic, entry.fields)


def check_versions(topic: str, entries: Iterable[Entry]) -> None:
    """I6: the versions of each aggregate go up by one."""
    last: dict[str, int] = {}
    for entry in entries:
        subject, version = entry.fields["subject"], int(entry.fields["version"])
        expected = last.get(subject, version - 1) + 1
        assert version == expected, f"I6: {subject} on {topic}: {version} after {expected - 1}"
        last[subject] = version


def check_payloads(database: Database) -> None:
    """I7: the newest event of each thing shows it as it is now."""
    with database.reads() as session:
        newest = {
            row.subject: orjson.loads(row.data)
            for row in _rows(session, "SELECT subject, data FROM event ORDER BY id")
        }
        order_ids = session.scalars(sa.select(orders.Order.id)).all()
        payment_ids = session.scalars(sa.select(payments.Payment.id)).all()
        shown: dict[str, Any] = {
            **{f"orders/{n}": orders.get(session, n, user_id=None) for n in order_ids},
            **{f"payments/{n}": payments.get(session, n, user_id=None) for n in payment_ids},
            **{f"refunds/{row.id}": refunds.public(row) for row in session.scalars(_all(Refund))},
            **{
                f"stock/{row.product_id}": stock.public(row) for row in session.scalars(_all(Stock))
            },
            **{f"products/{p.id}": products.public(p) for p in session.scalars(_all(Product))},
        }
    told = {subject: _as_told(thing) for subject, thing in shown.items()}
    differing = {
        subject: (newest.get(subject), thing)
        for subject, thing in told.items()
        if newest.get(subject) != thing
    }
    assert not differing, f"I7: events differ from the rows: {differing}"


def check_nothing_claimed(database: Database) -> None:
    """I13: nobody holds a lease, and nothing is left due."""
    claimed = {
        "payment": "lease_token IS NOT NULL OR lease_until IS NOT NULL OR due_at IS NOT NULL",
        "refund": "lease_token IS NOT NULL OR due_at IS NOT NULL",
        "attempt": "state IN ('created', 'sending', 'unknown')",
        "sync_run": "ended_at IS NULL",
    }
    with database.reads() as session:
        held = {
            table: _count(session, f"SELECT COUNT(*) FROM {table} WHERE {condition}")  # noqa: S608 - names of ours
            for table, condition in claimed.items()
        }
    assert not any(held.values()), f"I13: still claimed or due: {held}"


def _should_be_kept(order: Any) -> int:
    return order.total_minor - order.refunded_minor if order.status in _PAID else 0


def _check_entry(topic: str, row: Any, entry: Entry) -> None:
    expected = {
        "id": entry.id,
        "source": f"/tradepost/{topic}",
        "type": row.type,
        "subject": row.subject,
        "version": str(row.version),
        "data": row.data,
    }
    seen = {name: entry.fields.get(name) for name in expected}
    assert seen == expected, f"I5/I8: {topic} {entry.id} is another event than the database's"


def _stock_events(session: Session) -> dict[int, list[dict[str, Any]]]:
    told: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(session, "SELECT data FROM event WHERE subject LIKE 'stock/%' ORDER BY id"):
        seen = orjson.loads(row.data)
        told[seen["product_id"]].append(seen)
    return told


def _numbered_ids(database: Database, topic: str) -> list[str]:
    with database.reads() as session:
        rows = _rows(
            session,
            "SELECT epoch, seq FROM event WHERE topic = :topic ORDER BY seq",
            topic=topic,
        )
    return [f"{row.epoch}-{row.seq}" for row in rows]


def _as_told(thing: dict[str, Any]) -> Any:
    return orjson.loads(orjson.dumps(thing, option=orjson.OPT_UTC_Z))


def _all(table: Any) -> Any:
    return sa.select(table)


def _rows(session: Session, query: str, **values: object) -> list[Any]:
    return list(session.execute(sa.text(query), values).all())


def _count(session: Session, query: str) -> int:
    return int(session.execute(sa.text(query)).scalar_one())
