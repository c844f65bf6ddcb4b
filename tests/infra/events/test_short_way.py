"""Few events take one transaction; whatever is out of the ordinary is left to the relay."""

from collections.abc import Callable

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy import event

from infra import outbox
from infra.db import Database
from infra.events import short_way
from infra.events.relay import Relay, publish
from infra.outbox import StreamState
from infra.redis import Client, connect
from infra.streams import Streams
from tests.support.invariants import check_streams
from tests.support.outbox import change, number, record, record_many
from tests.support.valkey import Valkey

MakeRelay = Callable[..., Relay]
BOTH = ("orders", "payments")


@pytest.fixture
def begun(each_database: Database, make_relay: MakeRelay) -> Relay:
    """A relay whose streams have an entry each."""
    return begin(make_relay(each_database), each_database)


def begin(relay: Relay, database: Database) -> Relay:
    for topic in BOTH:
        record_many(database, 1, topic=topic)
    publish(relay)
    return relay


def published(database: Database) -> list[int]:
    with database.reads() as session:
        states = sa.select(StreamState.published).where(StreamState.topic.in_(BOTH))
        return list(session.scalars(states))


def test_few_events_of_two_topics_take_one_transaction(
    each_database: Database, begun: Relay, plain: "redis.Redis"
) -> None:
    for topic in BOTH:
        record_many(each_database, 2, topic=topic, first=2)
    commits: list[object] = []
    event.listen(each_database.engine, "commit", commits.append)

    sent = short_way.send(begun.sessions, begun.streams, begun.topics)

    assert (sent.added, sent.locked, sent.left) == ({"orders": 2, "payments": 2}, [], [])
    assert len(commits) == 1
    check_streams(each_database, plain)


def test_how_far_streams_have_come_is_noted_when_nothing_is_new(
    each_database: Database, begun: Relay
) -> None:
    record_many(each_database, 2, first=2)
    publish(begun)

    publish(begun)

    assert published(each_database) == [3, 1]


def test_topic_that_another_relay_is_at_is_left_to_it(
    database: Database, make_relay: MakeRelay
) -> None:
    relay = begin(make_relay(database), database)
    for topic in BOTH:
        record_many(database, 1, topic=topic, first=2)

    with database.sessions.begin() as other:
        outbox.lock_state(other, "orders")
        sent = short_way.send(relay.sessions, relay.streams, relay.topics)

    assert (sent.added, sent.locked, sent.left) == ({"payments": 1}, ["orders"], [])


@pytest.mark.parametrize("damage", ["many", "out of turn", "behind", "foreign", "restored"])
def test_topic_out_of_the_ordinary_is_left_as_it_is(
    damage: str, each_database: Database, begun: Relay, plain: "redis.Redis"
) -> None:
    record_many(each_database, short_way.FEW + 1 if damage == "many" else 1, first=2)
    if damage == "out of turn":
        record(each_database, change("things/900", 3))
    if damage == "behind":
        number(each_database)
        record_many(each_database, 1, first=900)
    if damage == "foreign":
        plain.xadd("events:orders", {"told": "by somebody else"})
    if damage == "restored":
        with each_database.engine.begin() as connection:
            connection.execute(sa.text("UPDATE event SET type = 'another' WHERE seq = 1"))
    last_id = plain.xinfo_stream("events:orders")["last-generated-id"]

    sent = short_way.send(begun.sessions, begun.streams, begun.topics)

    assert (sent.added, list(sent.locked), sent.left) == ({}, [], ["orders"])
    assert plain.xinfo_stream("events:orders")["last-generated-id"] == last_id


class Hindered(Streams):
    """Streams that somebody else changes right before an adding."""

    def append(self, topic: str, *, after: str, events: object) -> bool:
        self.client.xadd(f"events:{topic}", {"told": "by somebody else"})
        return super().append(topic, after=after, events=events)  # type: ignore[arg-type] # handed on


def test_stream_that_changed_meanwhile_is_looked_at_closely(
    each_database: Database, begun: Relay, valkey: Valkey, plain: "redis.Redis"
) -> None:
    client: Client = connect(valkey.url())
    record_many(each_database, 1, first=2)

    sent = short_way.send(begun.sessions, Hindered(client), begun.topics)

    client.close()
    assert (sent.added, sent.left) == ({}, ["orders"])
    publish(begun)
    check_streams(each_database, plain)
