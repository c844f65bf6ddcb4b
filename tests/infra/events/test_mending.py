"""Streams that somebody touched: each kind is noticed, told, and put right by the next run."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from infra.db import Database
from infra.events.alarms import Alarm, list_alarms
from infra.events.relay import Relay, publish
from tests.support.invariants import check_streams, read_stream
from tests.support.outbox import lose_tail, number, record_many, restore_older

Touch = Callable[["redis.Redis"], object]
KEY = "events:orders"


def write_astray(client: "redis.Redis") -> None:
    client.xadd(KEY, {"who": "knows"})


def write_astray_and_trim(client: "redis.Redis") -> None:
    client.xadd(KEY, {"who": "knows"})
    client.xtrim(KEY, maxlen=0, approximate=False)


def write_under_our_next_id(client: "redis.Redis") -> None:
    client.xadd(KEY, {"who": "knows"}, id="1-6")


TOUCHES = [
    pytest.param(write_astray, Alarm.FOREIGN_WRITE, id="xadd"),
    pytest.param(write_astray_and_trim, Alarm.FOREIGN_WRITE, id="xadd and xtrim"),
    pytest.param(write_under_our_next_id, Alarm.FOREIGN_WRITE, id="xadd under our next id"),
    pytest.param(lambda client: client.delete(KEY), Alarm.STREAM_GONE, id="del"),
    pytest.param(lambda client: client.flushall(), Alarm.STREAM_GONE, id="flushall"),
    pytest.param(lambda client: client.set(KEY, "mine"), Alarm.WRONG_TYPE, id="wrong type"),
    pytest.param(
        lambda client: client.xtrim(KEY, maxlen=0, approximate=False),
        Alarm.ENTRIES_MISSING,
        id="xtrim to nothing",
    ),
    pytest.param(lambda client: client.xdel(KEY, "1-3"), Alarm.ENTRIES_MISSING, id="xdel"),
    pytest.param(lambda client: client.xdel(KEY, "1-5"), Alarm.ENTRIES_MISSING, id="xdel at end"),
    pytest.param(
        lambda client: lose_tail(client, "orders", keep=2), Alarm.TAIL_LOST, id="lost tail"
    ),
]  # fmt: skip


def counted(database: Database) -> dict[str, int]:
    with database.reads() as session:
        return {alarm.kind: alarm.count for alarm in list_alarms(session)}


@pytest.mark.parametrize(("touch", "kind"), TOUCHES)
def test_touched_stream_is_told_and_is_whole_again(
    database: Database, relay: Relay, plain: "redis.Redis", touch: Touch, kind: Alarm
) -> None:
    record_many(database, 5)
    publish(relay)
    touch(plain)
    record_many(database, 2, first=6)

    with capture_logs() as logs:
        publish(relay)

    check_streams(database, plain)
    assert counted(database) == {kind.value: 1}
    told = [(entry["topic"], entry["kind"]) for entry in logs if entry["event"] == "stream_alarm"]
    assert told == [("orders", kind.value)]


@pytest.mark.parametrize(("touch", "kind"), TOUCHES[::4])
def test_touched_stream_of_a_quiet_topic_is_whole_again_too(
    database: Database, relay: Relay, plain: "redis.Redis", touch: Touch, kind: Alarm
) -> None:
    record_many(database, 5)
    publish(relay)
    touch(plain)

    publish(relay)
    publish(relay)

    check_streams(database, plain)
    assert counted(database) == {kind.value: 1}


def test_restored_database_is_told(database: Database, relay: Relay, plain: "redis.Redis") -> None:
    record_many(database, 5)
    publish(relay)
    restore_older(database, "orders", last_seq=3)
    record_many(database, 1, first=100)

    publish(relay)

    assert [entry.id for entry in read_stream(plain, "orders")][5:] == ["2-4"]
    assert counted(database) == {Alarm.DATABASE_RESTORED.value: 1}


def test_undisturbed_streams_sound_no_alarm(database: Database, relay: Relay) -> None:
    for first in (1, 4):
        record_many(database, 3, first=first)
        number(database)
        publish(relay)

    assert counted(database) == {}


def read(client: "redis.Redis", group: str, count: int | None = None) -> list[str]:
    answer: Any = client.xreadgroup(group, "one", {KEY: ">"}, count=count)
    ((_, entries),) = answer.items() if isinstance(answer, dict) else answer
    nested = entries and isinstance(entries[0], list)
    return [entry_id for entry_id, _ in (entries[0] if nested else entries)]


@pytest.mark.parametrize(
    "touch",
    [
        write_astray,
        write_under_our_next_id,
        lambda client: client.xtrim(KEY, maxlen=0, approximate=False),
    ],
)
def test_group_goes_on_where_it_stood(
    database: Database, relay: Relay, plain: "redis.Redis", touch: Touch
) -> None:
    record_many(database, 5)
    publish(relay)
    plain.xgroup_create(KEY, "half", id="0")
    plain.xack(KEY, "half", *read(plain, "half", count=2))
    touch(plain)

    publish(relay)

    assert read(plain, "half") == ["1-3", "1-4", "1-5"]


def test_group_that_read_the_foreign_entry_misses_nothing_of_ours(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 5)
    publish(relay)
    plain.xgroup_create(KEY, "all", id="0")
    write_under_our_next_id(plain)
    write_astray(plain)
    plain.xack(KEY, "all", *read(plain, "all"))
    record_many(database, 2, first=6)

    publish(relay)

    assert read(plain, "all") == ["1-6", "1-7"]


def test_what_a_group_had_pending_comes_again(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 5)
    publish(relay)
    plain.xgroup_create(KEY, "slow", id="0")
    first, second, *_ = read(plain, "slow", count=4)
    plain.xack(KEY, "slow", first)
    write_astray(plain)

    with capture_logs() as logs:
        publish(relay)

    assert read(plain, "slow")[0] == second
    assert [entry["pending"] for entry in logs if entry["event"] == "stream_group_moved"] == [3]


def test_server_without_memory_keeps_the_damaged_stream_and_its_groups(
    database: Database, relay: Relay, plain: "redis.Redis"
) -> None:
    record_many(database, 5)
    publish(relay)
    plain.xgroup_create(KEY, "kept", id="0")
    write_astray(plain)
    plain.config_set("maxmemory", 1)

    with pytest.raises(Exception, match="Redis"):
        publish(relay)

    assert [group["name"] for group in plain.xinfo_groups(KEY)] == ["kept"]
    assert plain.xlen(KEY) == 6
