"""Few events are told of with what wrote them; whatever is in the way is left to the relay."""

import pytest
import redis
from sqlalchemy import event
from sqlalchemy.orm import Session

from infra import outbox
from infra.db import Database
from infra.events.relay import publish
from infra.events.teller import Teller
from tests.infra.events.test_short_way import BOTH, MakeRelay, begin
from tests.support.invariants import check_streams
from tests.support.outbox import change, number, record_many
from tests.support.valkey import Valkey


def write(session: Session) -> int:
    outbox.record(session, [change("things/2", topic=topic) for topic in BOTH])
    return 2


def test_events_have_their_numbers_with_the_commit_that_wrote_them(
    each_database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    relay = begin(make_relay(each_database), each_database)
    teller = Teller(relay.streams, BOTH)
    commits: list[object] = []
    event.listen(each_database.engine, "commit", commits.append)

    assert teller.transact(relay.sessions, write) == 2

    assert (len(commits), teller.is_done) == (1, True)
    check_streams(each_database, plain)


def test_nothing_is_told_of_what_was_rolled_back(
    each_database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    relay = begin(make_relay(each_database), each_database)
    teller = Teller(relay.streams, BOTH)

    def write_and_fail(session: Session) -> int:
        write(session)
        raise LookupError

    with pytest.raises(LookupError):
        teller.transact(relay.sessions, write_and_fail)

    assert not teller.is_done
    assert [plain.xlen(f"events:{topic}") for topic in BOTH] == [1, 1]


def test_topic_that_another_relay_is_at_is_left_to_the_relay(
    database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    relay = begin(make_relay(database), database)
    teller = Teller(relay.streams, BOTH)

    with database.sessions.begin() as other:
        outbox.lock_state(other, "orders")
        teller.transact(relay.sessions, write)

    assert (teller.is_done, teller.has_unsent) == (False, False)
    assert [plain.xlen(f"events:{topic}") for topic in BOTH] == [1, 2]
    publish(relay)
    check_streams(database, plain)


def test_nothing_goes_past_what_a_killed_relay_has_not_sent(
    each_database: Database, make_relay: MakeRelay, plain: "redis.Redis"
) -> None:
    relay = begin(make_relay(each_database), each_database)
    record_many(each_database, 1, first=900)
    number(each_database)
    teller = Teller(relay.streams, BOTH)

    teller.transact(relay.sessions, write)

    assert (teller.is_done, teller.has_unsent) == (False, True)
    assert [plain.xlen(f"events:{topic}") for topic in BOTH] == [1, 2]
    publish(relay)
    check_streams(each_database, plain)


def test_streams_that_cannot_be_read_are_no_reason_not_to_commit(
    database: Database, make_relay: MakeRelay, valkey: Valkey
) -> None:
    relay = make_relay(database)
    teller = Teller(relay.streams, BOTH)
    valkey.kill()

    assert teller.transact(relay.sessions, write) == 2

    assert not teller.is_done
