"""Whatever order writers, relays, crashes, cuts and losses come in, the mirror ends right."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import pytest
import redis
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session

from infra import outbox
from infra.db import Database
from infra.events import retention
from infra.events.relay import Relay, publish
from infra.events.retention import Retention
from infra.outbox import Event, Numbered, StreamState
from infra.redis import Client
from infra.streams import Streams
from tests.support.follower import Follower, Story
from tests.support.invariants import Entry, check_versions, read_stream
from tests.support.outbox import change, lose_tail, number

TOPICS = ("orders", "payments")
MOST_WRITERS = 3
DAY = timedelta(days=1)


class RelayKilledError(Exception):
    """The relay's process ended here."""


class FragileStreams(Streams):
    """Real streams whose user dies once, before an adding or after it."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.dies = ""

    def append(self, topic: str, *, after: str, events: Sequence[Numbered]) -> bool:
        dies, self.dies = self.dies, ""
        if dies == "before":
            raise RelayKilledError
        added = super().append(topic, after=after, events=events)
        if dies == "after":
            raise RelayKilledError
        return added


@dataclass
class Writer:
    """A transaction that is still open, and what it has written; it owns its aggregate."""

    session: Session
    topic: str
    subject: str
    written: list[Story]


class Mirror(RuleBasedStateMachine):
    """Writers, two relays, retention, a follower, and a Redis that forgets, taking turns.

    What is written at first is two days old; `a_day_goes_by` ends that, once.
    """

    def __init__(self, database: Database, relays: Sequence[Relay], client: "redis.Redis") -> None:
        super().__init__()
        self._database, self._relays, self._client = database, relays, client
        self._kept = Retention(database.sessions, relays[0].streams, TOPICS, entries=DAY, rows=DAY)
        self._open: list[Writer] = []
        self._committed: list[Story] = []
        self._old: set[Story] = set()
        self._is_past = True
        self._followers = {topic: Follower(topic) for topic in TOPICS}
        # Never the same again: InnoDB locks the gaps around a key that was deleted a moment ago.
        self._story = uuid4().hex
        with database.sessions.begin() as session:
            session.execute(sa.delete(Event))
            session.execute(sa.update(StreamState).values(epoch=1, next_seq=1, published=0))
        client.flushall()

    @precondition(lambda self: len(self._open) < MOST_WRITERS)
    @rule(topic=st.sampled_from(TOPICS), thing=st.integers(1, 3), count=st.integers(1, 3))
    def write(self, topic: str, thing: int, count: int) -> None:
        subject = f"things/{self._story}-{thing}"
        if any((writer.topic, writer.subject) == (topic, subject) for writer in self._open):
            return
        known = [story[2] for story in self._committed if story[:2] == (topic, subject)]
        first = max(known, default=0) + 1
        written = [(topic, subject, version) for version in range(first, first + count)]
        session = self._database.sessions()
        outbox.record(session, [change(s, v, topic=t) for t, s, v in written])
        if self._is_past:
            for _, _, version in written:  # one by one: a range would wait for its neighbours
                of_this = (Event.topic == topic, Event.subject == subject, Event.version == version)
                session.execute(
                    sa.update(Event)
                    .where(*of_this)
                    .values(time=sa.text("TIMESTAMPADD(DAY, -2, time)"))
                )
        self._open.append(Writer(session, topic, subject, written))

    @precondition(lambda self: self._open)
    @rule(which=st.integers(0, 5))
    def commit(self, which: int) -> None:
        writer = self._open.pop(which % len(self._open))
        writer.session.commit()
        writer.session.close()
        self._committed += writer.written
        if self._is_past:
            self._old |= set(writer.written)

    @precondition(lambda self: self._open)
    @rule(which=st.integers(0, 5))
    def roll_back(self, which: int) -> None:
        self._open.pop(which % len(self._open)).session.close()

    @precondition(lambda self: self._is_past)
    @rule()
    def a_day_goes_by(self) -> None:
        while self._open:
            self.commit(0)
        number(self._database, TOPICS[0])
        number(self._database, TOPICS[1])
        self._is_past = False

    @rule(which=st.integers(0, 1))
    def run_relay(self, which: int) -> None:
        publish(self._relays[which])

    @rule()
    def run_both_relays(self) -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(publish, self._relays))

    @rule(which=st.integers(0, 1), dies=st.sampled_from(("before", "after")))
    def kill_relay(self, which: int, dies: str) -> None:
        streams = self._relays[which].streams
        assert isinstance(streams, FragileStreams)
        streams.dies = dies
        with suppress(RelayKilledError):
            publish(self._relays[which])
        streams.dies = ""

    @rule(topic=st.sampled_from(TOPICS), limit=st.integers(1, 3))
    def crash_after_numbering(self, topic: str, limit: int) -> None:
        number(self._database, topic, limit=limit)

    @rule(most=st.sampled_from((1_000_000, 3)))
    def trim(self, most: int) -> None:
        retention.trim(replace(self._kept, most=most), budget_s=600)
        if most == 3:  # whatever the cap took may be gone from the streams
            for topic in TOPICS:
                self._allow_cut(topic)

    # In a table as small as this one the server looks at every row to delete some, and would wait
    # for an open writer's.
    @precondition(lambda self: not self._open)
    @rule()
    def prune(self) -> None:
        retention.prune(self._kept, budget_s=600)

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 4))
    def follow(self, topic: str, count: int) -> None:
        if self._is_stream(topic):
            self._followers[topic].follow(self._database, self._client, count=count)

    @rule(topic=st.sampled_from(TOPICS), keep=st.integers(1, 4))
    def lose_tail(self, topic: str, keep: int) -> None:
        if self._is_stream(topic) and len(read_stream(self._client, topic)) > keep:
            lose_tail(self._client, topic, keep=keep)

    @rule()
    def flush(self) -> None:
        self._client.flushall()

    @rule(topic=st.sampled_from(TOPICS))
    def write_astray(self, topic: str) -> None:
        if self._is_stream(topic):
            self._client.xadd(f"events:{topic}", {"who": "knows"})

    @rule(topic=st.sampled_from(TOPICS), length=st.integers(0, 3))
    def cut_by_hand(self, topic: str, length: int) -> None:
        if self._is_stream(topic):
            self._client.xtrim(f"events:{topic}", maxlen=length, approximate=False)

    @rule(topic=st.sampled_from(TOPICS))
    def replace_by_another_type(self, topic: str) -> None:
        self._client.set(f"events:{topic}", "mine")

    def teardown(self) -> None:
        for writer in self._open:
            writer.session.close()
        for relay in self._relays:
            publish(relay)
        for topic in TOPICS:
            self._check(topic)

    def _check(self, topic: str) -> None:
        with self._database.reads() as session:
            rows = outbox.list_after(session, topic, seq=0, limit=10_000)
            head = session.get_one(StreamState, topic).next_seq - 1
        entries = read_stream(self._client, topic)
        committed = [story for story in self._committed if story[0] == topic]
        assert head == len(committed), "I5, I8: each committed event has one number, no other has"
        assert [row.seq for row in rows] == list(range(head + 1 - len(rows), head + 1)), "I5"
        assert [entry.seq for entry in entries] == list(range(head + 1 - len(entries), head + 1)), (
            "I5: the stream is dense, to the end"
        )
        self._check_entries(topic, rows, entries)
        gone = {_told(topic, row) for row in rows} - {_story(topic, entry) for entry in entries}
        assert gone <= self._old, "nothing young is gone from the stream"
        self._check_follower(topic, head, committed)

    def _check_entries(self, topic: str, rows: list[Numbered], entries: list[Entry]) -> None:
        by_number = {row.seq: row for row in rows}
        for entry in entries:
            row = by_number.get(entry.seq)
            if row is None:
                assert _story(topic, entry) in self._old, "only old rows are pruned"
            else:
                assert (entry.id, entry.fields["data"]) == (f"1-{row.seq}", row.data), "I7"
        check_versions(topic, entries)

    def _check_follower(self, topic: str, head: int, committed: list[Story]) -> None:
        follower = self._followers[topic]
        follower.follow(self._database, self._client)
        unseen = set(committed) - set(follower.seen)
        assert len(follower.seen) == len(set(follower.seen)), "I12: nothing twice"
        assert len(follower.seen) + len(follower.gaps) == follower.at, "I12: gaps are told"
        assert unseen <= self._old or not unseen, "I12: nothing young is missed"
        assert follower.at == head or unseen <= self._old, "I12: seen to the end"

    def _allow_cut(self, topic: str) -> None:
        self._old |= {story for story in self._committed if story[0] == topic}

    def _is_stream(self, topic: str) -> bool:
        return bool(self._client.type(f"events:{topic}") == "stream")


def _story(topic: str, entry: Entry) -> Story:
    return topic, entry.fields["subject"], int(entry.fields["version"])


def _told(topic: str, row: Numbered) -> Story:
    return topic, row.subject, row.version


@pytest.mark.parametrize(
    "examples",
    [
        20,
        pytest.param(320, marks=[pytest.mark.proof, pytest.mark.timeout(900)]),
    ],
)
def test_streams_end_dense_ordered_and_equal_to_what_was_committed(
    examples: int,
    database: Database,
    plain: "redis.Redis",
    make_relay: Callable[..., Relay],
) -> None:
    relays = [make_relay(database), make_relay(database)]
    fragile = [replace(relay, streams=FragileStreams(relay.streams.client)) for relay in relays]

    run_state_machine_as_test(
        lambda: Mirror(database, fragile, plain),  # type: ignore[arg-type] # it takes any callable
        settings=settings(max_examples=examples, stateful_step_count=25, deadline=None),
    )
