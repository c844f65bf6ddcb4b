"""Streams and database compared entry by entry; what is rebuilt agrees again."""

from collections.abc import Callable

import pytest
import redis
import sqlalchemy as sa

from infra.db import Database
from infra.events import verification
from infra.events.rebuilding import rebuild
from infra.events.relay import Relay, publish
from infra.events.retention import Retention, trim
from infra.events.verification import Verdict
from infra.outbox import Event
from tests.support.invariants import check_streams, read_stream
from tests.support.outbox import number, prune, record_many, restore_older

KEY = "events:orders"


@pytest.fixture
def compare(database: Database, relay: Relay) -> Callable[[], Verdict]:
    def look() -> Verdict:
        return verification.compare(database.reads, relay.streams, "orders", lambda _: None)

    return look


def altered(client: "redis.Redis", entry_id: str, **fields: str) -> None:
    """Put the stream there again with one entry that says something else."""
    kept = read_stream(client, "orders")
    client.delete(KEY)
    for entry in kept:
        told = {**entry.fields, **(fields if entry.id == entry_id else {})}
        client.xadd(KEY, told, id=entry.id)  # type: ignore[arg-type] # invariant in the stubs


def test_whole_stream_agrees(
    database: Database, relay: Relay, compare: Callable[[], Verdict]
) -> None:
    record_many(database, 5)
    publish(relay)
    record_many(database, 2, first=6)
    number(database)

    verdict = compare()

    assert verdict.agrees
    assert (verdict.compared, verdict.waiting, verdict.unknown) == (5, 2, 0)


def test_every_page_is_compared(
    database: Database, relay: Relay, compare: Callable[[], Verdict]
) -> None:
    record_many(database, verification.PAGE * 2 + 1)
    publish(relay)

    assert compare().compared == verification.PAGE * 2 + 1


@pytest.mark.parametrize(
    ("touch", "named"),
    [
        (lambda client: client.xdel(KEY, "1-2"), [("1-2", "missing", ())]),
        (lambda client: client.xtrim(KEY, maxlen=4, approximate=False), [("1-1", "missing", ())]),
        (lambda client: client.xadd(KEY, {"a": "b"}, id="1-6"), [("1-6", "foreign", ())]),
        (
            lambda client: altered(client, "1-3", data="{}", type="order.lost"),
            [("1-3", "different", ("data", "type"))],
        ),
        (lambda client: client.delete(KEY), [("the stream", "gone", ())]),
    ],
)
def test_what_differs_is_named_and_is_right_again_once_rebuilt(
    database: Database,
    relay: Relay,
    plain: "redis.Redis",
    compare: Callable[[], Verdict],
    touch: Callable[["redis.Redis"], object],
    named: list[tuple[str, str, tuple[str, ...]]],
) -> None:
    record_many(database, 5)
    publish(relay)
    touch(plain)

    verdict = compare()

    assert [(one.entry_id, one.kind, one.fields) for one in verdict.differences] == named
    assert rebuild(relay, ["orders"], opens_epoch=False, progress=lambda _: None) == 5
    assert compare().agrees
    check_streams(database, plain)


def test_what_retention_cut_off_or_pruned_is_no_difference(
    database: Database, relay: Relay, compare: Callable[[], Verdict]
) -> None:
    record_many(database, 6)
    publish(relay)
    with database.sessions.begin() as session:
        session.execute(
            sa.update(Event)
            .where(Event.seq <= 2)
            .values(time=sa.text("TIMESTAMPADD(DAY, -2, time)"))
        )
    trim(Retention(relay.sessions, relay.streams, ("orders",)), budget_s=600)
    prune(database, "orders", up_to=4)

    verdict = compare()

    assert verdict.agrees
    assert (verdict.compared, verdict.unknown) == (2, 2)


def test_story_from_before_a_restore_is_no_difference(
    database: Database, relay: Relay, compare: Callable[[], Verdict]
) -> None:
    record_many(database, 5)
    publish(relay)
    restore_older(database, "orders", last_seq=3)
    record_many(database, 3, first=100)
    publish(relay)

    verdict = compare()

    assert verdict.agrees
    assert (verdict.compared, verdict.unknown) == (6, 2)


def test_rebuilt_stream_of_a_new_epoch_goes_on_above_the_old_ids(
    database: Database, relay: Relay, plain: "redis.Redis", compare: Callable[[], Verdict]
) -> None:
    record_many(database, 3)
    publish(relay)

    rebuild(relay, ["orders"], opens_epoch=True, progress=lambda _: None)
    record_many(database, 2, first=4)
    publish(relay)

    assert [entry.id for entry in read_stream(plain, "orders")] == [
        "1-1", "1-2", "1-3", "2-4", "2-5"
    ]  # fmt: skip
    assert compare().agrees
