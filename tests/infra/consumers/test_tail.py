"""Who only watches sees what comes from now on, and costs nothing while nothing comes."""

import time

import redis

from infra.consumers.group import Tail
from infra.db import Database
from infra.events.relay import Relay, publish
from infra.redis import Client
from tests.support.outbox import change, record


def tell(database: Database, relay: Relay, subject: str) -> None:
    record(database, change(subject, 1))
    publish(relay)


def test_what_comes_between_two_calls_is_not_missed(
    database: Database, relay: Relay, client: Client
) -> None:
    tell(database, relay, "things/1")
    tail = Tail(client, ["orders", "payments"])
    assert tail.read(block_ms=1) == []

    tell(database, relay, "things/2")

    assert [entry.subject for entry in tail.read(block_ms=1)] == ["things/2"]


def test_entry_of_another_is_waited_over_and_mended(
    database: Database, relay: Relay, client: Client, plain: "redis.Redis"
) -> None:
    tell(database, relay, "things/1")
    plain.xadd("events:orders", {"a": "b"}, id="70-5")
    tail, began = Tail(client, ["orders"]), time.monotonic()

    assert tail.read(block_ms=50) == []
    assert time.monotonic() - began >= 0.05

    tell(database, relay, "things/2")
    assert [entry.subject for entry in tail.read(block_ms=20_000)] == ["things/2"]
