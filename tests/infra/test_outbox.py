"""Event rows: dense numbers in the order of becoming visible, and none for what never was."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from infra import clock, outbox
from infra.db import Database, transact
from infra.outbox import Change, Event, StreamUnknown
from tests.support.outbox import change, number, numbers, record, record_many


def test_numbers_are_dense_and_in_the_order_of_writing(each_database: Database) -> None:
    record(each_database, change("orders/1"), change("orders/2"))
    record(each_database, change("orders/3"))

    assert number(each_database) == 3

    assert numbers(each_database) == {"orders/1 v1": 1, "orders/2 v1": 2, "orders/3 v1": 3}


def test_row_that_is_not_committed_yet_is_numbered_after_its_commit(database: Database) -> None:
    with database.sessions() as slow:
        outbox.record(slow, [change("orders/slow")])
        record(database, change("orders/quick"))
        number(database)
        slow.commit()

    number(database)

    assert numbers(database) == {"orders/slow v1": 2, "orders/quick v1": 1}


def test_uncommitted_rows_between_committed_ones_are_left_alone(database: Database) -> None:
    # Names of its own: under a key that another test has just deleted, an insert would wait.
    record(database, change("early/1"))
    with database.sessions() as slow:
        outbox.record(slow, [change("slow/1")])
        record(database, change("late/1"))

        assert number(database) == 2

        slow.commit()
    assert numbers(database) == {"early/1 v1": 1, "slow/1 v1": None, "late/1 v1": 2}


def test_rolled_back_row_leaves_no_hole(each_database: Database) -> None:
    record(each_database, change("orders/1"))
    with each_database.sessions() as failing:
        outbox.record(failing, [change("orders/never")])
        failing.rollback()
    record(each_database, change("orders/2"))

    number(each_database)

    assert numbers(each_database) == {"orders/1 v1": 1, "orders/2 v1": 2}


def test_each_topic_counts_for_itself(each_database: Database) -> None:
    record(
        each_database,
        change("orders/1"),
        change("payments/1", topic="payments"),
        change("orders/2"),
    )

    number(each_database, "orders")
    number(each_database, "payments")

    assert numbers(each_database, "orders") == {"orders/1 v1": 1, "orders/2 v1": 2}
    assert numbers(each_database, "payments") == {"payments/1 v1": 1}


def test_numbering_goes_on_where_it_stopped(each_database: Database) -> None:
    record_many(each_database, 5)

    assert number(each_database, limit=3) == 3
    assert number(each_database, limit=3) == 2
    assert number(each_database, limit=3) == 0

    assert list(numbers(each_database).values()) == [1, 2, 3, 4, 5]


def test_version_that_came_before_its_forerunner_waits_for_it(database: Database) -> None:
    record(database, change("orders/1", 1))
    number(database)
    record(database, change("orders/1", 3))

    assert number(database) == 0

    record(database, change("orders/1", 2))
    number(database)
    number(database)
    assert numbers(database) == {"orders/1 v1": 1, "orders/1 v3": 3, "orders/1 v2": 2}


def test_one_aggregate_held_back_does_not_hold_up_the_others(database: Database) -> None:
    record(database, change("orders/1", 1))
    number(database)
    record(database, change("orders/1", 3), change("orders/2", 1))

    number(database)

    assert numbers(database)["orders/2 v1"] == 2


def test_versions_of_one_transaction_keep_their_order(each_database: Database) -> None:
    record(each_database, *(change("orders/1", version) for version in (1, 2, 3)))

    number(each_database)

    assert list(numbers(each_database).values()) == [1, 2, 3]


def test_same_version_twice_is_refused(each_database: Database) -> None:
    record(each_database, change("orders/1", 1))

    with pytest.raises(sa.exc.IntegrityError):
        record(each_database, change("orders/1", 1))


def test_unknown_topic_has_no_numbers(database: Database) -> None:
    with pytest.raises(StreamUnknown, match="nowhere"):
        number(database, "nowhere")


def test_event_bears_the_time_of_its_transaction(each_database: Database) -> None:
    def work(session: sa.orm.Session) -> datetime:
        now = clock.now(session)
        outbox.record(session, [change("orders/1")])
        return now

    now = transact(each_database.sessions, work)

    with each_database.reads() as session:
        assert session.scalars(sa.select(Event.time)).one() == now


def test_instants_in_the_payload_are_told_in_utc(each_database: Database) -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)

    record(each_database, Change("orders", "order.placed", "orders/1", 1, {"at": at, "name": "é"}))

    with each_database.reads() as session:
        data = session.scalars(sa.select(Event.data)).one()
    assert data == '{"at":"2026-11-20T12:00:00Z","name":"é"}'


def test_nothing_to_record_writes_nothing(each_database: Database) -> None:
    record(each_database)

    assert numbers(each_database) == {}


def test_events_are_listed_after_a_number_in_order(each_database: Database) -> None:
    record_many(each_database, 4)
    number(each_database)

    with each_database.reads() as session:
        listed = outbox.list_after(session, "orders", seq=1, limit=2)

    assert [event.seq for event in listed] == [2, 3]
    assert [event.subject for event in listed] == ["things/2", "things/3"]


def test_number_that_was_pruned_is_not_mistaken_for_the_next(each_database: Database) -> None:
    record_many(each_database, 2)
    number(each_database)
    with each_database.sessions.begin() as session:
        session.execute(sa.delete(Event).where(Event.seq == 1))

    with each_database.reads() as session:
        assert outbox.find_numbered(session, "orders", seq=1) is None
        assert outbox.find_numbered(session, "orders", seq=2) is not None
