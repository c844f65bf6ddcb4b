"""The one reader of a process: subscribers see every event once, or are told what they missed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import orjson
import pytest
import redis
import sqlalchemy as sa
from structlog.testing import capture_logs

from infra.companion import beside
from infra.db import Database
from infra.events import fanout
from infra.events.cursor import Position
from infra.events.entries import Entry
from infra.events.fanout import (
    Caps,
    Fanout,
    Gap,
    Item,
    NotFollowing,
    Reset,
    Subscriber,
    TooManySubscribers,
)
from infra.events.history import History
from infra.events.relay import Relay, publish
from infra.outbox import StreamState
from infra.redis import connect_async
from tests.support.invariants import read_stream
from tests.support.outbox import change, number, prune, record, record_many, restore_older
from tests.support.valkey import Valkey
from workers.topics import TOPICS

START = {"orders": Position(1, 0)}
Take = Callable[[Subscriber, int], Awaitable[list[Item]]]


@pytest.fixture
async def following(valkey: Valkey, database: Database) -> AsyncIterator[Fanout]:
    """A reader that has found its place and follows the streams."""
    client = connect_async(valkey.url())
    made = Fanout(client, History(database.reads), TOPICS)
    async with beside(made.run()):
        await until(lambda: _follows(made))
        yield made
    await client.aclose()


async def until(check: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not check():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.01)


async def items_of(subscriber: Subscriber) -> AsyncIterator[Item]:
    """Yield what a subscriber shows, one by one."""
    seen: list[Item] = []

    def show(item: Item) -> bytes:
        seen.append(item)
        return b"."

    async for _ in subscriber.chunks(show):
        while seen:
            yield seen.pop(0)


async def take(subscriber: Subscriber, count: int) -> list[Item]:
    """Read that many items, beginning with what the database has."""
    return await read(items_of(subscriber), count)


async def read(items: AsyncIterator[Item], count: int) -> list[Item]:
    """Read that many more items."""
    async with asyncio.timeout(60):
        return [await anext(items) for _ in range(count)]


async def relay_now(relay: Relay) -> int:
    return await asyncio.to_thread(publish, relay)


def entries(count: int) -> list[Entry]:
    numbers = range(1, count + 1)
    return [
        Entry("orders", Position(1, seq), "order.placed", "orders/1", seq, {}, b"{}")
        for seq in numbers
    ]


def seqs(items: Iterable[Item]) -> list[int]:
    return [item.place.seq for item in items if isinstance(item, Entry)]


def _follows(made: Fanout) -> bool:
    try:
        made.unsubscribe(made.subscribe(["orders"], {}))
    except NotFollowing:
        return False
    return True


async def test_subscriber_gets_what_is_published_from_now_on(
    following: Fanout, relay: Relay, database: Database
) -> None:
    subscriber = following.subscribe(["orders"], {})
    record_many(database, 3)
    await relay_now(relay)

    items = await take(subscriber, 3)

    assert seqs(items) == [1, 2, 3]


async def test_subscriber_gets_the_topics_it_asked_for_only(
    following: Fanout, relay: Relay, database: Database
) -> None:
    subscriber = following.subscribe(["payments"], {})
    record(database, change("orders/1"), change("payments/1", topic="payments"))
    await relay_now(relay)

    items = await take(subscriber, 1)

    assert [item.topic for item in items] == ["payments"]


async def test_entry_is_one_cloud_event_as_json(
    following: Fanout, relay: Relay, database: Database
) -> None:
    subscriber = following.subscribe(["orders"], {})
    record(database, change("orders/7", name="Ž\n"))
    await relay_now(relay)

    (entry,) = await take(subscriber, 1)

    assert isinstance(entry, Entry)
    told = orjson.loads(entry.cloud_event)
    assert told.pop("time").endswith("Z")
    assert told == {
        "specversion": "1.0",
        "id": "1-1",
        "source": "/tradepost/orders",
        "type": "order.placed",
        "subject": "orders/7",
        "version": 1,
        "datacontenttype": "application/json",
        "data": {"version": 1, "name": "Ž\n"},
    }


async def test_what_came_before_is_read_from_the_database_and_joined_without_a_seam(
    following: Fanout, relay: Relay, database: Database
) -> None:
    record_many(database, 700)
    await relay_now(relay)

    items = items_of(following.subscribe(["orders"], START))
    record_many(database, 300, first=701)
    await relay_now(relay)
    first = await read(items, 1000)
    rest = asyncio.create_task(read(items, 1))
    await asyncio.wait([rest], timeout=0.3)  # what came twice would come now
    record_many(database, 1, first=1001)
    await relay_now(relay)

    assert seqs(first + await rest) == list(range(1, 1002))


async def test_event_from_the_database_looks_like_the_one_from_the_stream(
    following: Fanout, relay: Relay, database: Database
) -> None:
    live = following.subscribe(["orders"], {})
    record(database, change("orders/7", name="Ž"))
    await relay_now(relay)
    later = following.subscribe(["orders"], START)

    assert await take(live, 1) == await take(later, 1)


async def test_resuming_subscriber_gets_no_event_twice(
    following: Fanout, relay: Relay, database: Database
) -> None:
    record_many(database, 5)
    await relay_now(relay)

    subscriber = following.subscribe(["orders"], {"orders": Position(1, 3)})

    assert seqs(await take(subscriber, 2)) == [4, 5]


async def test_what_the_stream_lost_is_filled_from_the_database(
    following: Fanout, relay: Relay, database: Database, plain: "redis.Redis"
) -> None:
    first = following.subscribe(["orders"], {})
    record_many(database, 1)
    await relay_now(relay)
    await take(first, 1)
    record_many(database, 4, first=2)
    number(database)
    (entry,) = read_stream(plain, "orders")
    skipping: Any = {**entry.fields, "id": "1-5", "subject": "things/5"}
    plain.xadd("events:orders", skipping, id="1-5")

    items = await take(first, 4)

    assert seqs(items) == [2, 3, 4, 5]


async def test_pruned_events_are_told_as_a_gap(
    following: Fanout, relay: Relay, database: Database
) -> None:
    record_many(database, 5)
    await relay_now(relay)
    prune(database, "orders", up_to=3)

    items = await take(following.subscribe(["orders"], START), 3)

    assert items[0] == Gap("orders", 0, 4)
    assert seqs(items) == [4, 5]


async def test_new_epoch_is_told_as_a_reset(
    following: Fanout, relay: Relay, database: Database
) -> None:
    subscriber = following.subscribe(["orders"], {})
    record_many(database, 5)
    await relay_now(relay)
    await take(subscriber, 5)
    restore_older(database, "orders", last_seq=3)
    record_many(database, 1, first=100)
    await relay_now(relay)

    items = await take(subscriber, 2)

    assert items[0] == Reset("orders", Position(2, 4))
    assert isinstance(items[1], Entry)
    assert items[1].place == Position(2, 4)


async def test_flushed_and_rebuilt_stream_repeats_nothing(
    following: Fanout, relay: Relay, database: Database, plain: "redis.Redis"
) -> None:
    subscriber = following.subscribe(["orders"], {})
    record_many(database, 3)
    await relay_now(relay)
    await take(subscriber, 3)
    plain.flushall()
    record_many(database, 2, first=4)
    await relay_now(relay)

    assert seqs(await take(subscriber, 2)) == [4, 5]


@pytest.mark.parametrize(
    ("entry_id", "fields"),
    [("*", {"who": "knows"}), ("1-1", {"id": "1-1", "data": "no JSON"})],
)
async def test_stray_entry_is_not_handed_out(
    following: Fanout,
    relay: Relay,
    database: Database,
    plain: "redis.Redis",
    entry_id: str,
    fields: dict[str, str],
) -> None:
    subscriber = following.subscribe(["orders"], {})
    plain.xadd("events:orders", fields, id=entry_id)  # type: ignore[arg-type] # text is taken too
    record_many(database, 2)
    await relay_now(relay)

    items = await take(subscriber, 2)

    assert seqs(items) == [1, 2]


async def test_stray_entry_on_one_topic_does_not_hold_up_the_others(
    following: Fanout, relay: Relay, database: Database, plain: "redis.Redis"
) -> None:
    subscriber = following.subscribe(["payments"], {})
    record_many(database, 1, topic="payments")
    await relay_now(relay)
    plain.xadd("events:orders", {"who": "knows"})

    assert seqs(await take(subscriber, 1)) == [1]


async def test_reader_survives_a_restart_of_redis(
    following: Fanout, relay: Relay, database: Database, valkey: Valkey
) -> None:
    subscriber = following.subscribe(["orders"], {})
    valkey.kill()
    record_many(database, 2)
    valkey.restart()
    await relay_now(relay)

    assert seqs(await take(subscriber, 2)) == [1, 2]


async def test_reader_waits_for_tables_that_are_not_there_yet(
    valkey: Valkey, sqlite_database: Database
) -> None:
    client = connect_async(valkey.url())
    made = Fanout(client, History(sqlite_database.reads), TOPICS)

    def rename(one: str, other: str) -> None:
        with sqlite_database.engine.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE {one} RENAME TO {other}"))

    rename("stream_state", "away")
    with capture_logs() as logs:

        def waits() -> list[str]:
            return [entry["error"] for entry in logs if entry["event"] == "streams_not_read"]

        async with beside(made.run()):
            await until(lambda: bool(waits()))
            rename("away", "stream_state")
            await until(lambda: _follows(made))

    await client.aclose()
    assert waits()[0] == "OperationalError"


async def test_slow_subscriber_is_cut_off_after_what_it_has(database: Database) -> None:
    slow = Subscriber(History(database.reads), dict(START), START)
    for entry in entries(fanout.QUEUE_LENGTH + 1):
        slow.offer(entry)

    items = [item async for item in items_of(slow)]

    assert seqs(items) == list(range(1, fanout.QUEUE_LENGTH + 1))


async def test_subscriber_who_was_cut_off_resumes_without_loss(
    following: Fanout, relay: Relay, database: Database
) -> None:
    slow = Subscriber(following.history, dict(START), START)
    for entry in entries(fanout.QUEUE_LENGTH + 10):
        slow.offer(entry)
    first = [item async for item in items_of(slow)]
    record_many(database, fanout.QUEUE_LENGTH + 10)
    await relay_now(relay)

    rest = await take(following.subscribe(["orders"], slow.places), 10)

    assert seqs(first + rest) == list(range(1, fanout.QUEUE_LENGTH + 11))


async def test_slow_subscriber_does_not_hold_up_the_others(
    following: Fanout, relay: Relay, database: Database
) -> None:
    following.subscribe(["orders"], {})
    quick = items_of(following.subscribe(["orders"], {}))
    record_many(database, 1)
    await relay_now(relay)
    first = await read(quick, 1)  # it has caught up, and takes what comes as it comes
    reading = asyncio.create_task(read(quick, fanout.QUEUE_LENGTH + 10))
    record_many(database, fanout.QUEUE_LENGTH + 10, first=2)
    await relay_now(relay)

    assert len(first + await reading) == fanout.QUEUE_LENGTH + 11


async def test_listener_hears_every_entry_from_now_on(
    valkey: Valkey, relay: Relay, database: Database
) -> None:
    heard: list[Entry] = []
    client = connect_async(valkey.url())
    made = Fanout(client, History(database.reads), TOPICS, [heard.append])
    record_many(database, 2)
    await relay_now(relay)

    async with beside(made.run()):
        await until(lambda: _follows(made))
        record_many(database, 2, first=3)
        await relay_now(relay)
        await until(lambda: len(heard) == 2)

    await client.aclose()
    assert seqs(heard) == [3, 4]


async def test_reader_without_its_place_takes_no_subscribers(
    valkey: Valkey, database: Database
) -> None:
    client = connect_async(valkey.url())
    made = Fanout(client, History(database.reads), TOPICS)

    with pytest.raises(NotFollowing):
        made.subscribe(["orders"], {})

    await client.aclose()


async def test_full_process_takes_no_more_subscribers(following: Fanout) -> None:
    many = [
        following.subscribe(["orders"], {}, owner=str(number)) for number in range(Caps().of_all)
    ]

    with pytest.raises(TooManySubscribers):
        following.subscribe(["orders"], {})

    following.unsubscribe(many[0])
    following.subscribe(["orders"], {})


@pytest.mark.parametrize(
    "place",
    [
        Position(1, 4),  # ahead of everything
        Position(2, 1),  # of an epoch that never was
        Position(0, 0),
    ],
)
async def test_place_that_never_was_is_unusable(database: Database, place: Position) -> None:
    record_many(database, 3)
    number(database)

    assert await History(database.reads).unusable({"orders": place}) == {"orders"}


@pytest.mark.parametrize("seq", [0, 1, 3])
async def test_place_that_was_is_usable(database: Database, seq: int) -> None:
    record_many(database, 3)
    number(database)

    assert await History(database.reads).unusable({"orders": Position(1, seq)}) == set()


async def test_place_of_a_lost_story_is_unusable(database: Database) -> None:
    record_many(database, 3)
    with database.sessions.begin() as session:
        session.execute(sa.update(StreamState).values(epoch=2))
    number(database)

    assert await History(database.reads).unusable({"orders": Position(1, 2)}) == {"orders"}


async def test_pruned_place_of_this_epoch_is_usable(database: Database) -> None:
    record_many(database, 3)
    number(database)
    prune(database, "orders", up_to=2)

    assert await History(database.reads).unusable({"orders": Position(1, 1)}) == set()


async def test_only_who_stands_where_the_reader_stands_shares_what_is_shown(
    sqlite_database: Database,
) -> None:
    reader = {"orders": Position(1, 3), "products": Position(1, 0)}
    ahead = {"orders": Position(1, 5), "products": Position(1, 0)}
    subscriber = Subscriber(History(sqlite_database.reads), ahead, reader)
    keys: list[object] = []

    def show(item: Item) -> bytes:
        keys.append(subscriber.shared_key)
        return b"."

    chunks = subscriber.chunks(show)
    for topic, seq in [("products", 1), ("orders", 4), ("orders", 5), ("products", 2)]:
        reader[topic] = Position(1, seq)
        subscriber.offer(Entry(topic, reader[topic], "order.placed", "a", seq, {}, b"{}"))
        if topic == "products":
            await anext(chunks)

    # The first time its cursor is ahead of the reader's; then the reader has caught up.
    assert keys[0] is None
    reader["products"] = Position(1, 3)
    subscriber.offer(Entry("products", Position(1, 3), "order.placed", "a", 3, {}, b"{}"))
    await anext(chunks)
    assert keys[-1] == ("orders", "products")
