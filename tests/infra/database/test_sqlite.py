"""SQLite under many writers at once, as the embedded API and its workers are."""

import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Database, transact
from infra.outbox import StreamState

WRITERS = 8
ROUNDS = 25


def _count_up(session: Session) -> None:
    session.execute(
        sa.update(StreamState)
        .where(StreamState.topic == "orders")
        .values(next_seq=StreamState.next_seq + 1)
    )


def _longest_wait_s(database: Database) -> float:
    waits = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        transact(database.sessions, _count_up)
        waits.append(time.perf_counter() - begun)
    return max(waits)


def _longest_share(database: Database) -> float:
    """Let many write at once; tell which part of that time somebody waited for one turn."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as threads:
        waits = list(threads.map(_longest_wait_s, [database] * WRITERS))
    return max(waits) / (time.perf_counter() - begun)


def test_every_writer_gets_its_turn_soon(sqlite_database: Database) -> None:
    # A busy machine may let all of them stand still, but hardly each time.
    shares = [_longest_share(sqlite_database) for _ in range(3)]

    with sqlite_database.reads() as session:
        assert session.get_one(StreamState, "orders").next_seq == 1 + WRITERS * ROUNDS * len(shares)
    assert min(shares) < 1 / 3


def test_a_refused_writer_does_not_keep_its_turn(sqlite_database: Database) -> None:
    with sqlite_database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.rollback()

    transact(sqlite_database.sessions, _count_up)

    with sqlite_database.reads() as session:
        assert session.get_one(StreamState, "orders").next_seq == 2
