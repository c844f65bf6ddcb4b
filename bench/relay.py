"""The relay against a bare loop: read rows, pipeline XADD, remember nothing."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import pymysql
import redis
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from bench.servers import Peers
from infra import clock
from infra.database.rows import insert_rows, table_of
from infra.db import Database, open_database, transact
from infra.events.relay import Relay, publish
from infra.outbox import Event, StreamState
from infra.redis import connect
from infra.streams import Streams
from tests.support.databases import speak_as_mysql

TOPIC = "orders"
_CHUNK = 5000
_BARE_BATCH = 500
_DATA = (
    '{"id":%d,"user_id":1,"status":"paid","currency":"USD","subtotal":83.33,"fee":16.67,'
    '"total":100.0,"items":[{"product_id":1,"name":"Lamp","quantity":1,"unit_price":83.33,'
    '"unit_fee":16.67,"line_total":100.0}],"refunded":0.0,"version":2}'
)


def run(peers: Peers, *, rounds: int, events: int = 20_000) -> dict[str, float]:
    """Measure both sides in turn, each in this one process over the same rows and servers.

    Returns events a second of each side (medians). Both find rows without numbers; the relay gives
    them numbers, looks after versions and commits, the bare loop does not write to the database.
    """
    database = open_database(peers.env["DATABASE_URL"])
    speak_as_mysql(database.engine)
    client = connect(peers.env["BROKER_URL"])
    relay = Relay(database.sessions, Streams(client), (TOPIC,))
    ours, bare = [], []
    for _ in range(rounds):
        bare.append(_rate(database, client, events, lambda: _bare(peers.env, client)))
        ours.append(_rate(database, client, events, lambda: publish(relay)))
    database.engine.dispose()
    client.close()
    return {"ours": median(ours), "a bare loop": median(bare)}


def _rate(
    database: Database, client: "redis.Redis", count: int, drain: Callable[[], object]
) -> float:
    """Seed, drain, and count events a second; what was drained is on the stream."""
    _seed(database, count)
    client.flushall()
    begun = time.perf_counter()
    drain()
    took = time.perf_counter() - begun
    assert client.xlen(f"events:{TOPIC}") == count
    return count / took


def _seed(database: Database, count: int) -> None:
    """Leave that many committed events without a number, of two versions for each subject."""
    with database.engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE TABLE event"))
        connection.execute(sa.update(StreamState).values(epoch=1, next_seq=1, published=0))
    for first in range(0, count, _CHUNK):
        write = partial(_write, range(first, min(first + _CHUNK, count)))
        transact(database.sessions, write)


def _write(numbers: range, session: Session) -> None:
    now = clock.now(session)
    rows = [
        {
            "topic": TOPIC,
            "subject": f"orders/{n // 2}",
            "version": n % 2 + 1,
            "type": "order.paid",
            "time": now,
            "data": _DATA % n,
        }
        for n in numbers
    ]
    insert_rows(session, table_of(Event), rows)


def _bare(env: dict[str, str], client: "redis.Redis") -> None:
    """Do the least that moves the same fields: no numbers, no cursor, nothing after a crash."""
    url = make_url(env["DATABASE_URL"])
    connection = pymysql.connect(
        host=url.host, port=url.port or 0, user=url.username, password=url.password or "",
        database=url.database, charset="utf8mb4",
    )  # fmt: skip
    last = 0
    with connection, connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT id, type, subject, version, time, data FROM event"
                " WHERE topic = %s AND id > %s ORDER BY id LIMIT %s",
                (TOPIC, last, _BARE_BATCH),
            )
            rows = cursor.fetchall()
            if not rows:
                return
            with client.pipeline(transaction=False) as pipe:
                for event_id, kind, subject, version, at, data in rows:
                    fields: dict[Any, Any] = {
                        "specversion": "1.0",
                        "id": event_id,
                        "source": "/tradepost/orders",
                        "type": kind,
                        "subject": subject,
                        "version": version,
                        "time": at.isoformat() + "Z",
                        "datacontenttype": "application/json",
                        "data": data,
                    }
                    pipe.xadd(f"events:{TOPIC}", fields)
                pipe.execute()
            last = rows[-1][0]
