"""The database: transactions that survive deadlocks and broken links, and say so when unsure."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import (
    CommitUnknown,
    Database,
    DatabaseBusy,
    DatabaseDown,
    DatabaseSlow,
    Sessions,
    as_app_error,
    is_duplicate,
    open_database,
    ping,
    transact,
)
from infra.outbox import Event, StreamState
from tests.support.mariadb import MariaDB
from tests.support.proxy import Proxy

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
Step = Callable[[], object]


@pytest.fixture
def proxy(mariadb: MariaDB, proxy_to: Callable[[int], Proxy]) -> Proxy:
    return proxy_to(mariadb.port)


@pytest.fixture
def proxied(proxy: Proxy, database: Database, database_url: str) -> Iterator[Database]:
    through = open_database(proxy.url(database_url))
    yield through
    through.engine.dispose()


def write_event(session: Session, subject: str, *, version: int = 1, time: datetime = NOON) -> None:
    session.add(
        Event(
            topic="orders",
            subject=subject,
            version=version,
            type="order.placed",
            time=time,
            data="{}",
        )
    )
    session.flush()


def take_number(session: Session, topic: str) -> None:
    session.execute(
        sa.update(StreamState)
        .where(StreamState.topic == topic)
        .values(next_seq=StreamState.next_seq + 1)
    )


def subjects(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return list(session.scalars(sa.select(Event.subject).order_by(Event.subject)))


def next_numbers(sessions: Sessions) -> dict[str, int]:
    with sessions() as session:
        return {state.topic: state.next_seq for state in session.scalars(sa.select(StreamState))}


def first_time_only(step: Step) -> Step:
    """Make a step that is taken at the first call and left out at all others."""
    left = [step]

    def take() -> None:
        while left:
            left.pop()()

    return take


def test_deadlock_victim_is_run_again(database: Database) -> None:
    runs: list[str] = []
    met = threading.Barrier(2, timeout=60)

    def crossing(first: str, second: str) -> None:
        meet = first_time_only(met.wait)

        def work(session: Session) -> None:
            runs.append(first)
            take_number(session, first)
            meet()
            take_number(session, second)

        transact(database.sessions, work)

    with ThreadPoolExecutor(2) as threads:
        done = [
            threads.submit(crossing, "orders", "payments"),
            threads.submit(crossing, "payments", "orders"),
        ]
        [future.result() for future in done]

    numbers = next_numbers(database.sessions)
    assert (numbers["orders"], numbers["payments"]) == (3, 3)
    assert len(runs) == 3


def test_link_lost_before_commit_runs_the_work_again(proxied: Database, proxy: Proxy) -> None:
    break_once = first_time_only(proxy.drop_connections)

    def work(session: Session) -> None:
        write_event(session, "orders/1")
        break_once()
        write_event(session, "orders/2")

    transact(proxied.sessions, work)

    assert subjects(proxied.sessions) == ["orders/1", "orders/2"]


def test_lost_answer_to_commit_is_unknown_and_the_work_may_stand(
    proxied: Database, proxy: Proxy, database: Database
) -> None:
    def work(session: Session) -> None:
        write_event(session, "orders/1")
        proxy.cut_at(b"COMMIT")

    with pytest.raises(CommitUnknown):
        transact(proxied.sessions, work)

    assert subjects(database.sessions) == ["orders/1"]


def test_commit_that_never_arrived_is_unknown_too(
    proxied: Database, proxy: Proxy, database: Database
) -> None:
    def work(session: Session) -> None:
        write_event(session, "orders/1")
        proxy.drop_connections()

    with pytest.raises(CommitUnknown):
        transact(proxied.sessions, work)

    assert subjects(database.sessions) == []


def test_work_whose_commit_is_unknown_is_not_run_again(proxied: Database, proxy: Proxy) -> None:
    runs: list[int] = []

    def work(session: Session) -> None:
        runs.append(1)
        write_event(session, "orders/1")
        proxy.cut_at(b"COMMIT")

    with pytest.raises(CommitUnknown):
        transact(proxied.sessions, work)

    assert runs == [1]


def test_server_out_of_reach_is_down(proxied: Database, proxy: Proxy) -> None:
    proxy.refuse()

    with pytest.raises(DatabaseDown):
        transact(proxied.sessions, lambda session: write_event(session, "orders/1"))
    with pytest.raises(DatabaseDown):
        ping(proxied.engine)


def test_server_that_came_back_is_used_again(proxied: Database, proxy: Proxy) -> None:
    ping(proxied.engine)
    proxy.drop_connections()

    transact(proxied.sessions, lambda session: write_event(session, "orders/1"))

    assert subjects(proxied.sessions) == ["orders/1"]


def test_read_only_server_is_down_for_writers(mariadb: MariaDB, database: Database) -> None:
    mariadb.refuse_writes()

    with pytest.raises(DatabaseDown):
        transact(database.sessions, lambda session: write_event(session, "orders/1"))


@pytest.mark.parametrize("lock_waits", [1, 2])
def test_lock_held_by_another_makes_us_busy_in_the_end(
    database: Database, database_url: str, lock_waits: int
) -> None:
    hurried = open_database(database_url, lock_wait_timeout_s=0, lock_waits=lock_waits)
    runs = []

    def work(session: Session) -> None:
        runs.append(session)
        take_number(session, "orders")

    with database.sessions() as holder:
        take_number(holder, "orders")
        with pytest.raises(DatabaseBusy):
            transact(hurried.sessions, work)

    hurried.engine.dispose()
    assert len(runs) == lock_waits
    assert next_numbers(database.sessions)["orders"] == 1


@pytest.fixture
def open_patient(database_url: str) -> Iterator[Callable[[int], Database]]:
    """Open the database with so much patience."""
    all_opened: list[Database] = []

    def open_(patience_s: int) -> Database:
        all_opened.append(open_database(database_url, patience_s=patience_s))
        return all_opened[-1]

    yield open_
    for opened in all_opened:
        opened.engine.dispose()


def test_statement_that_takes_too_long_is_ended_by_the_server(
    open_patient: Callable[[int], Database],
) -> None:
    runs = []
    opened = open_patient(50)
    with opened.reads() as session:
        limit_s = session.scalar(sa.text("SELECT @@max_statement_time"))

    def work(session: Session) -> None:
        runs.append(session)
        hurried = f"SET STATEMENT max_statement_time = {limit_s / 5000} FOR SELECT SLEEP(30)"
        session.execute(sa.text(hurried))

    with pytest.raises(DatabaseSlow):
        transact(opened.sessions, work)

    assert limit_s == 50
    assert len(runs) == 1
    with opened.reads() as session:
        assert session.scalar(sa.text("SELECT 7")) == 7


def test_silent_server_is_given_up(
    open_patient: Callable[[int], Database], mariadb: MariaDB
) -> None:
    hasty = open_patient(1)
    with hasty.reads() as session:
        session.execute(sa.text("SELECT 7"))
    mariadb.freeze()
    began = time.monotonic()

    try:
        with pytest.raises(DatabaseDown):
            transact(hasty.sessions, lambda session: session.execute(sa.text("SELECT 7")))
        taken_s = time.monotonic() - began
    finally:
        mariadb.thaw()

    assert taken_s < 60


def test_fault_of_the_work_rolls_it_back_and_is_not_repeated(each_database: Database) -> None:
    runs: list[int] = []

    def work(session: Session) -> None:
        runs.append(1)
        write_event(session, "orders/1")
        raise LookupError

    with pytest.raises(LookupError):
        transact(each_database.sessions, work)

    assert runs == [1]
    assert subjects(each_database.sessions) == []


def test_second_row_under_a_unique_key_is_told_from_other_faults(each_database: Database) -> None:
    transact(each_database.sessions, lambda session: write_event(session, "orders/1"))

    with pytest.raises(sa.exc.IntegrityError) as refused:
        transact(each_database.sessions, lambda session: write_event(session, "orders/1"))

    assert is_duplicate(refused.value)


def test_missing_value_is_no_duplicate(each_database: Database) -> None:
    empty = sa.insert(StreamState).values(topic="new", epoch=None, next_seq=1)

    with pytest.raises(sa.exc.IntegrityError) as refused:
        transact(each_database.sessions, lambda session: session.execute(empty))

    assert not is_duplicate(refused.value)


def test_identifiers_that_differ_in_case_are_two(each_database: Database) -> None:
    def work(session: Session) -> None:
        write_event(session, "orders/a")
        write_event(session, "orders/A")

    transact(each_database.sessions, work)

    assert len(subjects(each_database.sessions)) == 2


def test_instant_comes_back_aware_and_to_the_microsecond(each_database: Database) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))

    transact(
        each_database.sessions, lambda session: write_event(session, "orders/1", time=elsewhere)
    )

    with each_database.reads() as session:
        time = session.scalars(sa.select(Event.time)).one()
    assert time == NOON
    assert time.tzinfo is UTC


def test_writer_waits_for_the_writer_before_it_on_sqlite(sqlite_database: Database) -> None:
    order: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        transact(sqlite_database.sessions, lambda session: write_event(session, "orders/2"))
        order.append("second")

    with ThreadPoolExecutor(1) as thread, sqlite_database.sessions.begin() as first:
        write_event(first, "orders/1")
        waiting = thread.submit(second)
        begun.wait(60)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        order.append("first")
        first.commit()
        waiting.result(timeout=60)

    assert order == ["first", "second"]
    assert subjects(sqlite_database.reads) == ["orders/1", "orders/2"]


def test_writer_who_reads_first_is_not_refused_on_sqlite(sqlite_database: Database) -> None:
    def count_up(session: Session) -> None:
        state = session.get_one(StreamState, "orders")
        state.next_seq += 1

    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(transact, sqlite_database.sessions, count_up) for _ in range(20)]
        [run.result() for run in runs]

    assert next_numbers(sqlite_database.reads)["orders"] == 21


def test_reader_is_not_blocked_by_a_writer(each_database: Database) -> None:
    with each_database.sessions.begin() as writer:
        write_event(writer, "orders/1")

        seen = subjects(each_database.reads)

    assert seen == []


def test_lock_that_sqlite_waited_for_in_vain_is_told_as_busy() -> None:
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY

    translated = as_app_error(sa.exc.OperationalError("BEGIN IMMEDIATE", {}, locked))

    assert isinstance(translated, DatabaseBusy)


def test_missing_sqlite_folder_is_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("new") / "a" / "b"

    database = open_database(f"sqlite:///{folder}/tradepost.db")
    ping(database.engine)

    database.engine.dispose()
    assert (folder / "tradepost.db").exists()


def test_full_pool_is_told_as_a_database_out_of_reach() -> None:
    translated = as_app_error(sa.exc.TimeoutError("no connection left"))

    assert isinstance(translated, DatabaseDown)


def test_fault_of_ours_is_not_told_as_the_servers(database: Database) -> None:
    with database.reads() as session, pytest.raises(sa.exc.DBAPIError) as refused:
        session.execute(sa.text("SELECT * FROM no_such_table"))

    assert as_app_error(refused.value) is None
