"""A group of consumers: each effect once and in order, whatever becomes of Redis and of peers."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.consumers import dead_letters
from infra.consumers.consumer import Consumer, Terms, new_name
from infra.consumers.group import Delivery, Group
from infra.consumers.handling import Handling, Patience, Waiting
from infra.consumers.inbox import DeadLetter, Place
from infra.consumers.past import DatabasePast
from infra.db import TRIES, Database, transact
from infra.events.entries import Entry
from infra.events.relay import Relay, publish
from infra.redis import Client, connect
from tests.support.outbox import change, prune, record, restore_older
from tests.support.processes import eventually
from tests.support.valkey import Valkey

TERMS = Terms(from_oldest=True, retry_s=0.05, sweep_s=0.1, block_s=0.05, claim_after_s=0.3)
NAME = "printer"
_EFFECTS = sa.Table(
    "effect",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("subject", sa.String(100)),
    sa.Column("version", sa.Integer),
)


class Bench:
    """A relay to write with, consumers to start, and the effects they have had."""

    def __init__(self, database: Database, relay: Relay, valkey: Valkey) -> None:
        self.database, self.relay, self.valkey = database, relay, valkey
        self.poison: set[tuple[str, int]] = set()
        self.hold = threading.Event()
        self.hold.set()
        self.breaks: list[str] = []
        self._clients: list[Client] = []
        _EFFECTS.create(database.engine)

    def tell(self, *things: tuple[str, int]) -> None:
        """Write versions of subjects, and publish them."""
        record(self.database, *(change(subject, version) for subject, version in things))
        publish(self.relay)

    def handle(self, session: Session, entry: Entry) -> None:
        """Have an effect, unless told to fail."""
        session.execute(sa.insert(_EFFECTS).values(subject=entry.subject, version=entry.version))
        self.hold.wait(60)
        if (entry.subject, entry.version) in self.poison:
            raise ValueError("no ink")

    def consumer(self, *, handle: Any = None, terms: Terms = TERMS) -> Consumer:
        self._clients.append(connect(self.valkey.url(), timeout_s=5))
        group = Group(self._clients[-1], NAME, ["orders"], consumer=new_name())
        return Consumer(
            group,
            self.database.sessions,
            DatabasePast(self.database.reads),
            handle or self.handle,
            terms,
            on_break=lambda _topic, told: self.breaks.append(type(told).__name__),
        )

    def handling(self) -> Handling:
        """Make what a consumer does with one event, without a stream that brings it."""
        return Handling(
            NAME,
            self.database.sessions,
            DatabasePast(self.database.reads),
            self.handle,
            Patience(TERMS.most_deliveries, TERMS.retry_s),
            on_break=lambda _topic, _told: None,
        )

    def entries(self, subject: str) -> list[Entry]:
        """List what was told about a subject."""
        return DatabasePast(self.database.reads).page("orders", after=None, subject=subject)

    @contextmanager
    def running(self, count: int = 1, **how: Any) -> Iterator[None]:
        """Run consumers while the block lasts."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self.consumer(**how).run, args=(stop,)) for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            self.hold.set()
            for thread in threads:
                thread.join(60)

    def effects(self) -> list[tuple[str, int]]:
        with self.database.reads() as session:
            rows = session.execute(sa.select(_EFFECTS).order_by(_EFFECTS.c.id)).all()
        return [(row.subject, row.version) for row in rows]

    def wait_for(self, count: int) -> list[tuple[str, int]]:
        eventually(lambda: len(self.effects()) >= count, what=f"{count} effects")
        return self.effects()

    def place(self) -> tuple[int, int]:
        with self.database.reads() as session:
            found = session.get(Place, (NAME, "orders"))
            return (found.epoch, found.seq) if found else (0, 0)

    def letters(self) -> list[tuple[str, int, bool]]:
        with self.database.reads() as session:
            return [(row.subject, row.version, row.behind) for row in dead_letters.list_of(session)]

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def bench(database: Database, relay: Relay, valkey: Valkey) -> Iterator[Bench]:
    made = Bench(database, relay, valkey)
    yield made
    made.close()
    _EFFECTS.drop(database.engine)


def in_order(effects: list[tuple[str, int]]) -> bool:
    """Tell whether the versions of each subject went up by one."""
    last: dict[str, int] = {}
    for subject, version in effects:
        if version != last.get(subject, version - 1) + 1:
            return False
        last[subject] = version
    return True


def versions(count: int, subjects: int) -> list[tuple[str, int]]:
    return [(f"things/{n % subjects}", n // subjects + 1) for n in range(count)]


def test_three_consumers_have_each_effect_once_in_order_of_its_subject(bench: Bench) -> None:
    told = versions(120, 7)
    with bench.running(3):
        for start in range(0, 120, 20):
            bench.tell(*told[start : start + 20])
        effects = bench.wait_for(120)
        eventually(lambda: bench.place() == (1, 120), what="the group's place")

    assert sorted(effects) == sorted(told)
    assert in_order(effects)


def test_flushed_redis_loses_and_doubles_nothing(bench: Bench, plain: "redis.Redis") -> None:
    with bench.running(2):
        bench.tell(*versions(10, 3))
        bench.wait_for(10)
        plain.flushall()
        bench.tell(*versions(30, 3)[10:])
        plain.flushall()
        publish(bench.relay)
        effects = bench.wait_for(30)

    assert sorted(effects) == sorted(versions(30, 3))
    assert in_order(effects)


def test_flush_while_an_event_waits_for_its_next_try_ends_no_consumer(
    bench: Bench, plain: "redis.Redis"
) -> None:
    bench.poison = {("a", 1)}
    # It is tried later each time, but is never put aside.
    with bench.running(terms=replace(TERMS, retry_s=0.3, most_deliveries=1000)):
        bench.tell(("a", 1), ("b", 1))
        bench.wait_for(1)
        plain.flushall()
        bench.poison.clear()
        effects = bench.wait_for(2)

    assert effects == [("b", 1), ("a", 1)]


def test_what_was_trimmed_before_it_was_read_comes_from_the_past(
    bench: Bench, plain: "redis.Redis"
) -> None:
    with bench.running():
        bench.tell(("a", 1), ("b", 1))
        bench.wait_for(2)
    bench.tell(("a", 2), ("b", 2), ("a", 3), ("b", 3))
    plain.xtrim("events:orders", maxlen=1, approximate=False)

    with bench.running():
        effects = bench.wait_for(6)

    assert in_order(effects)
    assert bench.breaks == []


def test_restarted_redis_is_waited_for(bench: Bench) -> None:
    with bench.running():
        bench.tell(("a", 1))
        bench.wait_for(1)
        bench.valkey.restart()
        bench.tell(("a", 2))
        effects = bench.wait_for(2)

    assert effects == [("a", 1), ("a", 2)]


def test_events_of_a_dead_peer_are_taken_over(bench: Bench, plain: "redis.Redis") -> None:
    with bench.running():
        bench.tell(("a", 1))
        bench.wait_for(1)
        eventually(lambda: plain.xinfo_groups("events:orders"), what="the group")
    bench.tell(("a", 2), ("b", 1))
    plain.xreadgroup(NAME, "the-dead", {"events:orders": ">"})

    with bench.running():
        effects = bench.wait_for(3)

    assert sorted(effects) == [("a", 1), ("a", 2), ("b", 1)]
    eventually(lambda: plain.xpending("events:orders", NAME)["pending"] == 0, what="all is done")


def test_event_that_kills_whoever_takes_it_is_put_aside(bench: Bench, plain: "redis.Redis") -> None:
    with bench.running():
        bench.tell(("a", 1))
        bench.wait_for(1)
        eventually(lambda: plain.xinfo_groups("events:orders"), what="the group")
    bench.tell(("a", 2))
    plain.xreadgroup(NAME, "the-dead", {"events:orders": ">"})
    plain.xclaim("events:orders", NAME, "the-dead", 0, ["1-2"], retrycount=9)

    with bench.running():
        eventually(lambda: bench.letters() == [("a", 2, False)], what="the dead letter")

    assert bench.effects() == [("a", 1)]


def test_failing_event_is_put_aside_with_its_subject_and_the_others_go_on(bench: Bench) -> None:
    bench.poison = {("a", 2)}
    bench.tell(("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2))

    with bench.running(2):
        effects = bench.wait_for(3)
        eventually(lambda: len(bench.letters()) == 2, what="the dead letters")
        bench.tell(("a", 4), ("b", 3))
        eventually(lambda: len(bench.letters()) == 3, what="one more behind")
        effects = bench.wait_for(4)

    assert sorted(effects) == [("a", 1), ("b", 1), ("b", 2), ("b", 3)]
    assert bench.letters() == [("a", 2, False), ("a", 3, True), ("a", 4, True)]


def test_event_that_many_put_aside_at_once_is_one_dead_letter(bench: Bench) -> None:
    bench.tell(*[("a", version) for version in range(1, 11)])
    with bench.running():
        bench.wait_for(10)
    bench.tell(*[("b", version) for version in range(1, 11)])
    entries = [Delivery(entry, times=99) for entry in bench.entries("b")]
    together = threading.Barrier(4)

    def give_up_on_all(_: int) -> list[bool]:
        handling = bench.handling()
        together.wait()
        return [handling.settle(Waiting(replace(entry), since=0)) for entry in entries]

    with ThreadPoolExecutor(4) as threads:
        settled = list(threads.map(give_up_on_all, range(4)))

    assert settled == [[True] * 10] * 4
    assert bench.letters() == [("b", version, False) for version in range(1, 11)]


def test_event_that_a_peer_has_handled_meanwhile_is_not_put_aside(bench: Bench) -> None:
    bench.tell(("a", 1))
    with bench.running():
        bench.wait_for(1)
    (entry,) = bench.entries("a")

    settled = bench.handling().settle(Waiting(Delivery(entry, times=99), since=0))

    assert settled
    assert bench.letters() == []


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        (dead_letters.replay, [("a", 1), ("a", 2), ("a", 3)]),
        (dead_letters.drop, [("a", 1), ("a", 3)]),
    ],
)
def test_dead_letter_is_replayed_or_dropped_and_what_waits_behind_it_goes_on(
    bench: Bench, deed: Callable[..., None], expected: list[tuple[str, int]]
) -> None:
    bench.poison = {("a", 2)}
    bench.tell(("a", 1), ("a", 2), ("a", 3))
    with bench.running():
        eventually(lambda: len(bench.letters()) == 2, what="the dead letters")
    bench.poison = set()

    transact(bench.database.sessions, lambda session: deed(session, NAME, "orders", 2))
    with bench.running():
        effects = bench.wait_for(len(expected))
        bench.tell(("a", 4))
        effects = bench.wait_for(len(expected) + 1)

    assert effects == [*expected, ("a", 4)]
    assert bench.letters() == []


def test_replay_that_fails_waits_for_a_person_again(bench: Bench) -> None:
    bench.poison = {("a", 1)}
    bench.tell(("a", 1))
    with bench.running():
        eventually(lambda: bench.letters() != [], what="the dead letter")
        before = tries(bench)
        transact(
            bench.database.sessions, lambda session: dead_letters.replay(session, NAME, "orders", 1)
        )
        eventually(lambda: tries(bench) == before + 1, what="one more try")

    assert bench.letters() == [("a", 1, False)]
    assert bench.effects() == []


def tries(bench: Bench) -> int:
    with bench.database.reads() as session:
        return session.get_one(DeadLetter, (NAME, "orders", 1)).tries


def test_stop_finishes_the_event_in_hand_and_gives_the_rest_back(
    bench: Bench, plain: "redis.Redis"
) -> None:
    bench.tell(*versions(20, 20))
    bench.hold.clear()
    patient = Terms(from_oldest=True, claim_after_s=600, sweep_s=0.1)
    stop = threading.Event()
    thread = threading.Thread(target=bench.consumer(terms=patient).run, args=(stop,))
    thread.start()
    eventually(
        lambda: plain.xinfo_groups("events:orders")[0]["pending"] > 0,
        tolerate=(IndexError, redis.ResponseError),
    )

    stop.set()
    bench.hold.set()
    thread.join(60)
    done = len(bench.effects())
    with bench.running(terms=patient):
        effects = bench.wait_for(20)

    assert done < 20
    assert sorted(effects) == sorted(versions(20, 20))


def test_restored_database_undoes_what_never_happened(bench: Bench) -> None:
    bench.tell(("a", 1), ("a", 2), ("b", 1))
    with bench.running():
        bench.wait_for(3)
        eventually(lambda: bench.place() == (1, 3), what="the group's place")
        restore_older(bench.database, "orders", last_seq=1)
        bench.tell(("a", 2), ("c", 1))
        effects = bench.wait_for(5)
        eventually(lambda: bench.place() == (2, 3), what="the new story")

    assert effects[3:] == [("a", 2), ("c", 1)]
    assert bench.breaks == ["PositionUnknown"]


def test_pruned_history_is_told_and_passed_over(bench: Bench, plain: "redis.Redis") -> None:
    with bench.running():
        bench.tell(("a", 1))
        bench.wait_for(1)
    bench.tell(("a", 2), ("a", 3), ("a", 4))
    plain.xtrim("events:orders", maxlen=1, approximate=False)
    prune(bench.database, "orders", up_to=3)

    with bench.running():
        effects = bench.wait_for(2)

    assert effects == [("a", 1), ("a", 4)]
    assert bench.breaks == ["EventsGone"]


def test_group_that_begins_now_takes_subjects_in_the_middle_of_their_story(bench: Bench) -> None:
    bench.tell(("a", 1), ("a", 2))
    now = Terms(retry_s=0.05, sweep_s=0.1, block_s=0.05)
    with bench.running(2, terms=now):
        eventually(lambda: bench.place() == (1, 2), what="the group has begun")
        bench.tell(("a", 3), ("b", 1), ("a", 4))
        effects = bench.wait_for(3)

    assert in_order(effects)
    assert sorted(effects) == [("a", 3), ("a", 4), ("b", 1)]


def test_database_that_is_away_counts_as_no_failure(bench: Bench) -> None:
    away = iter(range(TRIES * (TERMS.most_deliveries + 1)))

    def handle(session: Session, entry: Entry) -> None:
        if next(away, None) is not None:
            session.execute(sa.text("KILL CONNECTION_ID()"))
        bench.handle(session, entry)

    bench.tell(("a", 1))
    with bench.running(handle=handle):
        effects = bench.wait_for(1)

    assert effects == [("a", 1)]
    assert next(away, None) is None
    assert bench.letters() == []
