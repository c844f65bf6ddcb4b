"""What is too old or too much goes; what a live group or the database still needs stays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import redis
import sqlalchemy as sa

from infra.db import Database
from infra.events import groups, retention
from infra.events.alarms import Alarm, list_alarms
from infra.events.groups import GroupAlive, GroupHasPending, GroupUnknown
from infra.events.relay import Relay, publish
from infra.events.retention import Retention
from infra.outbox import Event
from tests.support.invariants import check_streams, read_stream
from tests.support.outbox import numbers, record_many

KEY = "events:orders"
NEVER = timedelta(0)


@pytest.fixture
def kept(relay: Relay) -> Retention:
    """An hour for entries, two for rows; all groups count as alive for an hour."""
    hours = [timedelta(hours=count) for count in (1, 1, 2)]
    return Retention(
        relay.sessions, relay.streams, ("orders",), hours[0], 1_000_000, hours[1], hours[2]
    )


@pytest.fixture
def publish_aged(database: Database, relay: Relay) -> Callable[..., None]:
    """Publish ten events, and make the first ones older."""

    def make(*, old: int, by_hours: int = 3, count: int = 10) -> None:
        record_many(database, count)
        publish(relay)
        with database.sessions.begin() as session:
            session.execute(
                sa.update(Event)
                .where(Event.seq <= old)
                .values(time=sa.text(f"TIMESTAMPADD(HOUR, -{by_hours}, time)"))
            )

    return make


def ids(client: "redis.Redis") -> list[str]:
    return [entry.id for entry in read_stream(client, "orders")]


def trim(kept: Retention) -> int:
    return retention.trim(kept, budget_s=600).removed


def test_entries_past_their_time_are_taken_off(
    kept: Retention, plain: "redis.Redis", publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=6)

    assert trim(kept) == 6

    assert ids(plain) == ["1-7", "1-8", "1-9", "1-10"]


def test_trimmed_stream_is_level_and_sounds_no_alarm(
    database: Database,
    kept: Retention,
    relay: Relay,
    plain: "redis.Redis",
    publish_aged: Callable[..., None],
) -> None:
    publish_aged(old=10)
    trim(kept)

    assert publish(relay) == 0
    record_many(database, 2, first=11)
    publish(relay)

    assert ids(plain) == ["1-11", "1-12"]
    with database.reads() as session:
        assert list_alarms(session) == []


def test_nothing_is_taken_that_a_live_group_has_not_acknowledged(
    kept: Retention, plain: "redis.Redis", publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=6)
    plain.xgroup_create(KEY, "slow", id="0")
    plain.xreadgroup("slow", "one", {KEY: ">"}, count=5)
    plain.xack(KEY, "slow", "1-1", "1-2", "1-4")

    trim(kept)

    assert ids(plain)[0] == "1-3"


def test_nothing_is_taken_that_a_live_group_has_not_been_given(
    kept: Retention, plain: "redis.Redis", publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=6)
    plain.xgroup_create(KEY, "new", id="1-4")
    plain.set("stream-groups:orders", "somebody else's")

    trim(kept)

    assert ids(plain)[0] == "1-5"


def test_group_that_has_been_silent_for_long_holds_up_nothing(
    kept: Retention, plain: "redis.Redis", publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=6)
    plain.xgroup_create(KEY, "gone", id="0")
    plain.xreadgroup("gone", "one", {KEY: ">"}, count=2)

    trim(replace(kept, idle=NEVER))

    assert ids(plain)[0] == "1-7"


def test_cap_is_kept_and_told_when_a_group_loses_by_it(
    database: Database,
    kept: Retention,
    plain: "redis.Redis",
    publish_aged: Callable[..., None],
) -> None:
    publish_aged(old=0)
    plain.xgroup_create(KEY, "slow", id="1-2")
    plain.xgroup_create(KEY, "quick", id="1-9")

    trim(replace(kept, most=4))

    assert ids(plain) == ["1-7", "1-8", "1-9", "1-10"]
    with database.reads() as session:
        assert [alarm.kind for alarm in list_alarms(session)] == [Alarm.TRIMMED_PAST_GROUP]


def test_rows_past_their_time_go_and_their_topic_goes_on(
    database: Database,
    kept: Retention,
    relay: Relay,
    plain: "redis.Redis",
    publish_aged: Callable[..., None],
) -> None:
    publish_aged(old=10)

    assert retention.prune(kept, budget_s=600).removed == 9

    assert list(numbers(database).values()) == [10]
    plain.delete(KEY)
    record_many(database, 2, first=11)
    publish(relay)
    assert ids(plain) == ["1-10", "1-11", "1-12"]


def test_row_that_was_never_published_stays(
    database: Database, kept: Retention, relay: Relay, publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=4)
    record_many(database, 3, first=11)
    with database.sessions.begin() as session:
        session.execute(sa.update(Event).values(time=sa.text("TIMESTAMPADD(HOUR, -3, time)")))

    retention.prune(kept, budget_s=600)

    assert list(numbers(database).values()) == [10, None, None, None]


def test_run_without_time_does_nothing_and_says_so(
    kept: Retention, publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=10)

    assert retention.trim(kept, budget_s=0).left
    assert retention.prune(kept, budget_s=0).left


def test_groups_are_listed_with_what_they_lack(
    kept: Retention, plain: "redis.Redis", publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=0)
    plain.xgroup_create(KEY, "mailer", id="0")
    plain.xreadgroup("mailer", "one", {KEY: ">"}, count=3)

    (listed,) = groups.list_groups(kept.streams, ["orders", "payments"], idle=kept.idle)

    assert (listed.topic, listed.name, listed.consumers) == ("orders", "mailer", 1)
    assert (listed.pending, listed.lag, listed.lowest_pending_id) == (3, 7, "1-1")
    assert listed.is_live
    (consumer,) = groups.list_consumers(kept.streams, "orders", "mailer")
    assert (consumer.name, consumer.pending) == ("one", 3)


def test_group_with_pending_entries_is_removed_by_force_only(
    kept: Retention, plain: "redis.Redis", publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=0)
    plain.xgroup_create(KEY, "gone", id="0")
    plain.xreadgroup("gone", "one", {KEY: ">"}, count=3)

    for consumer in ("", "one"):
        with pytest.raises(GroupHasPending, match="3"):
            groups.remove(
                kept.streams, "orders", "gone", consumer=consumer, idle=NEVER, force=False
            )

    assert groups.remove(kept.streams, "orders", "gone", idle=NEVER, force=True) == 3
    assert plain.xinfo_groups(KEY) == []


def test_group_at_work_is_not_removed(
    kept: Retention, plain: "redis.Redis", publish_aged: Callable[..., None]
) -> None:
    publish_aged(old=0)
    plain.xgroup_create(KEY, "mailer", id="$")

    with pytest.raises(GroupAlive):
        groups.remove(kept.streams, "orders", "mailer", idle=kept.idle, force=False)
    with pytest.raises(GroupUnknown):
        groups.remove(kept.streams, "orders", "other", idle=kept.idle, force=True)

    assert groups.remove(kept.streams, "orders", "mailer", idle=NEVER, force=False) == 0


def test_stream_that_somebody_cut_is_mended_before_it_is_trimmed(
    database: Database,
    kept: Retention,
    relay: Relay,
    plain: "redis.Redis",
    publish_aged: Callable[..., None],
) -> None:
    publish_aged(old=0)
    plain.xtrim(KEY, maxlen=3, approximate=False)

    assert trim(kept) == 0

    publish(relay)
    check_streams(database, plain)
