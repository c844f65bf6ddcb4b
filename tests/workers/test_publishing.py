"""Who settles publishes what came of it, unless the queue of events is paused."""

import redis

from infra.db import Database, transact
from infra.events.relay import Relay, publish
from infra.jobs import queues
from infra.redis import connect
from infra.streams import Streams
from tests.support.fleet import Fleet
from tests.support.invariants import read_stream
from tests.support.processes import eventually
from tests.support.valkey import Valkey
from tests.workers.conftest import PlaceOrder
from tests.workers.test_worker import message
from workers.topics import TOPICS

SETTLE = message("payments.settle", b"[[], {}, {}]")


def test_order_is_told_of_as_paid_though_nobody_takes_bells_for_events(
    fleet: Fleet,
    database: Database,
    valkey: Valkey,
    broker: "redis.Redis",
    place_order: PlaceOrder,
) -> None:
    def is_rung() -> bool:
        place_order()
        broker.lpush("payments", SETTLE)
        return bool(broker.llen("events"))

    place_order()
    with connect(valkey.url(1)) as streams, valkey.client(db=1) as plain:
        publish(Relay(database.sessions, Streams(streams), TOPICS))

        def told() -> list[str]:
            return [entry.fields["type"] for entry in read_stream(plain, "orders")]

        transact(
            database.sessions,
            lambda session: queues.pause(session, "events", reason="to see", by=1),
        )
        fleet.worker(("payments",), concurrency=1)
        # Whoever settles rings once, and a Redis that is slow may not hear it.
        eventually(is_rung, interval_s=0.5)
        assert told() == ["order.placed"]

        transact(database.sessions, lambda session: queues.resume(session, "events"))
        eventually(
            lambda: place_order() and broker.lpush("payments", SETTLE) and "order.paid" in told(),
            interval_s=0.3,
        )
