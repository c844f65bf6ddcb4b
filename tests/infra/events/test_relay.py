"""The mirror: every committed event on its stream exactly once, whatever happens to Redis."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis
import sqlalchemy as sa

from infra import outbox
from infra.db import Database
from infra.events.relay import STEP, Relay, publish
from infra.outbox import Event, StreamState
from infra.redis import RedisDown
from tests.support.invariants import check_streams, read_stream
from tests.support.outbox import (
    change,
    lose_tail,
    number,
    numbers,
    prune,
    record,
    record_many,
    restore_older,
)
from tests.support.valkey import Valkey

MakeRelay = Callable[..., Relay]


def ids(client: "redis.Redis", topic: str = "orders") -> list[str]:
    return [entry.id for entry in read_stream(client, topic)]


def test_committed_events_are_published_under_explicit_ids(
    each_database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    record_many(each_database, 3)

    added = publish(make_relay(each_database))

    assert added == 3
    assert ids(plain) == ["1-1", "1-2", "1-3"]
    check_streams(each_database, plain)


def test_entry_is_a_cloud_event_readable_as_it_stands(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record(database, change("orders/17", 1, total=42.5, name="Čaj"))

    publish(relay)

    fields = read_stream(plain, "orders")[0].fields
    assert fields.pop("time").endswith("Z")
    assert fields == {
        "specversion": "1.0",
        "id": "1-1",
        "source": "/tradepost/orders",
        "type": "order.placed",
        "subject": "orders/17",
        "version": "1",
        "datacontenttype": "application/json",
        "data": '{"version":1,"total":42.5,"name":"Čaj"}',
    }


def test_second_run_adds_nothing(database: Database, relay: Relay, plain: "redis.Redis") -> None:
    record_many(database, 3)
    publish(relay)

    assert publish(relay) == 0

    assert ids(plain) == ["1-1", "1-2", "1-3"]


def test_more_than_one_batch_is_published_in_one_run(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, STEP * 2 + 1)

    assert publish(relay) == STEP * 2 + 1

    check_streams(database, plain)


def test_topics_are_published_side_by_side(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 2, topic="orders")
    record_many(database, 3, topic="market.quotes")

    assert publish(relay) == 5

    check_streams(database, plain)


def test_event_of_a_rolled_back_transaction_is_not_published(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    with database.sessions() as failing:
        outbox.record(failing, [change("orders/never")])
        failing.rollback()
    record(database, change("orders/1"))

    publish(relay)

    assert [entry.fields["subject"] for entry in read_stream(plain, "orders")] == ["orders/1"]


def test_numbered_and_never_published_is_published_by_the_next_run(
    each_database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    record_many(each_database, 3)
    number(each_database)

    publish(make_relay(each_database))

    check_streams(each_database, plain)


def test_two_relays_at_once_add_every_event_once(
    each_database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    record_many(each_database, 1200)
    relays = [make_relay(each_database) for _ in range(2)]

    with ThreadPoolExecutor(2) as threads:
        added = sum(threads.map(publish, relays))

    assert added == 1200
    check_streams(each_database, plain)


def test_relay_that_lost_the_race_adds_nothing_twice(
    database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    record_many(database, 2)
    number(database)
    with database.reads() as session:
        read_before = outbox.list_after(session, "orders", seq=0)
    slow = make_relay(database)
    publish(make_relay(database))

    added = slow.streams.append("orders", after="", events=read_before)

    assert not added
    assert ids(plain) == ["1-1", "1-2"]


def test_flushed_redis_is_filled_again_under_the_same_ids(
    each_database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    relay = make_relay(each_database)
    record_many(each_database, 3)
    publish(relay)
    plain.flushall()
    record_many(each_database, 2, first=4)

    publish(relay)

    assert ids(plain) == ["1-1", "1-2", "1-3", "1-4", "1-5"]
    check_streams(each_database, plain)


def test_flushed_redis_is_filled_again_without_a_new_event(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 3)
    publish(relay)
    plain.flushall()

    assert publish(relay) == 3

    check_streams(database, plain)


def test_deleted_stream_is_filled_again(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 3)
    publish(relay)
    plain.delete("events:orders")

    assert publish(relay) == 3

    check_streams(database, plain)


def test_flushed_stream_is_filled_from_within_the_retention_only(
    database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    record_many(database, 5)
    number(database)
    with database.sessions.begin() as session:
        session.execute(
            sa.update(Event)
            .where(Event.seq <= 3)
            .values(time=sa.text("TIMESTAMPADD(HOUR, -2, time)"))
        )

    publish(make_relay(database, retention=timedelta(hours=1)))

    assert ids(plain) == ["1-4", "1-5"]


def test_stream_whose_events_are_all_too_old_goes_on_at_the_right_number(
    database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    relay = make_relay(database, retention=timedelta(0))
    record_many(database, 3)
    number(database)
    publish(relay)
    record_many(database, 1, first=4)

    publish(make_relay(database))

    assert ids(plain)[-1] == "1-4"


def test_flush_between_reading_and_adding_opens_no_gap(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 2)
    publish(relay)
    record_many(database, 1, first=3)
    number(database)
    with database.reads() as session:
        newest = outbox.list_after(session, "orders", seq=2)
    plain.flushall()

    added = relay.streams.append("orders", after="1-2", events=newest)

    assert not added
    publish(relay)
    assert ids(plain) == ["1-1", "1-2", "1-3"]


def test_lost_tail_is_added_again_under_the_same_ids(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 5)
    publish(relay)
    lose_tail(plain, "orders", keep=2)

    assert publish(relay) == 3

    check_streams(database, plain)


def test_key_of_another_type_is_replaced_by_the_stream(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 2)
    publish(relay)
    plain.set("events:orders", "mine now")

    assert publish(relay) == 2

    check_streams(database, plain)


def test_key_of_another_type_before_the_first_event_does_no_harm(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    plain.sadd("events:orders", "mine")
    record_many(database, 2)

    publish(relay)

    check_streams(database, plain)


def test_stray_entry_is_removed_and_the_stream_built_again(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 2)
    publish(relay)
    plain.xadd("events:orders", {"who": "knows"})
    record_many(database, 1, first=3)

    publish(relay)

    assert ids(plain) == ["1-1", "1-2", "1-3"]
    check_streams(database, plain)


def test_stray_entry_on_a_quiet_topic_is_removed_too(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 2)
    publish(relay)
    plain.xadd("events:orders", {"who": "knows"})

    publish(relay)

    check_streams(database, plain)


def test_stray_entry_that_was_trimmed_away_is_noticed_all_the_same(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 2)
    publish(relay)
    plain.xadd("events:orders", {"who": "knows"})
    plain.xtrim("events:orders", maxlen=0, approximate=False)

    publish(relay)

    check_streams(database, plain)


def test_stray_entry_under_our_next_id_is_not_taken_for_ours(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 2)
    publish(relay)
    plain.xadd("events:orders", {"who": "knows"}, id="1-3")
    record_many(database, 1, first=3)

    publish(relay)

    check_streams(database, plain)


def test_restored_older_database_opens_the_next_epoch(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 5)
    publish(relay)
    restore_older(database, "orders", last_seq=3)
    record_many(database, 1, first=100)

    publish(relay)

    assert ids(plain) == ["1-1", "1-2", "1-3", "1-4", "1-5", "2-4"]
    with database.reads() as session:
        state = session.get_one(StreamState, "orders")
    assert (state.epoch, state.next_seq) == (2, 5)


def test_database_that_tells_another_story_than_the_stream_opens_the_next_epoch(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 5)
    publish(relay)
    restore_older(database, "orders", last_seq=3)
    record_many(database, 3, first=100)
    number(database)

    publish(relay)
    record_many(database, 1, first=200)
    publish(relay)

    assert ids(plain)[5:] == ["2-7"]


def test_redis_away_means_that_nothing_is_numbered(
    database: Database, relay: Relay, valkey: Valkey
) -> None:
    record_many(database, 2)
    valkey.kill()

    with pytest.raises(RedisDown):
        publish(relay)

    assert set(numbers(database).values()) == {None}


def test_redis_back_again_empty_gets_everything(
    database: Database, relay: Relay, valkey: Valkey
) -> None:
    record_many(database, 2)
    publish(relay)
    valkey.kill()
    record_many(database, 2, first=3)
    valkey.restart()

    publish(relay)

    with valkey.client() as client:
        check_streams(database, client)


def test_redis_that_refuses_to_grow_gets_everything_later(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 3)
    plain.config_set("maxmemory", 1)
    with pytest.raises(RedisDown):
        publish(relay)
    plain.config_set("maxmemory", 0)

    publish(relay)

    check_streams(database, plain)


def test_pruned_rows_do_not_disturb_the_relay(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 3)
    publish(relay)
    prune(database, "orders", up_to=3)
    record_many(database, 1, first=4)

    assert publish(relay) == 1

    assert ids(plain)[-1] == "1-4"
