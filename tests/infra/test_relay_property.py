"""Whatever order writers, rollbacks, relays and losses of Redis come in, the mirror ends right."""

from collections.abc import Callable
from dataclasses import dataclass
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
from infra.outbox import Event, StreamState
from infra.relay import Relay, publish
from tests.support.invariants import check_streams, read_stream
from tests.support.outbox import change, lose_tail, number

TOPICS = ("orders", "payments")
MOST_WRITERS = 3

Story = tuple[str, str, int]


@dataclass
class Writer:
    """A transaction that is still open, and what it has written; it owns its aggregate."""

    session: Session
    topic: str
    subject: str
    written: list[Story]


class Mirror(RuleBasedStateMachine):
    """Writers, relays and a Redis that forgets, taking turns."""

    def __init__(self, database: Database, relay: Relay, client: "redis.Redis") -> None:
        super().__init__()
        self._database, self._relay, self._client = database, relay, client
        self._open: list[Writer] = []
        self._committed: list[Story] = []
        # Never the same again: InnoDB locks the gaps around a key that was deleted a moment ago.
        self._story = uuid4().hex
        with database.sessions.begin() as session:
            session.execute(sa.delete(Event))
            session.execute(sa.update(StreamState).values(epoch=1, next_seq=1))
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
        self._open.append(Writer(session, topic, subject, written))

    @precondition(lambda self: self._open)
    @rule(which=st.integers(0, 5))
    def commit(self, which: int) -> None:
        writer = self._open.pop(which % len(self._open))
        writer.session.commit()
        writer.session.close()
        self._committed += writer.written

    @precondition(lambda self: self._open)
    @rule(which=st.integers(0, 5))
    def roll_back(self, which: int) -> None:
        self._open.pop(which % len(self._open)).session.close()

    @rule()
    def run_relay(self) -> None:
        publish(self._relay)

    @rule(topic=st.sampled_from(TOPICS), limit=st.integers(1, 3))
    def crash_after_numbering(self, topic: str, limit: int) -> None:
        number(self._database, topic, limit=limit)

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

    @rule(topic=st.sampled_from(TOPICS))
    def replace_by_another_type(self, topic: str) -> None:
        self._client.set(f"events:{topic}", "mine")

    def teardown(self) -> None:
        for writer in self._open:
            writer.session.close()
        publish(self._relay)
        check_streams(self._database, self._client)
        assert self._published() == sorted(self._committed)

    def _is_stream(self, topic: str) -> bool:
        return bool(self._client.type(f"events:{topic}") == "stream")

    def _published(self) -> list[Story]:
        return sorted(
            (topic, entry.fields["subject"], int(entry.fields["version"]))
            for topic in TOPICS
            for entry in read_stream(self._client, topic)
        )


@pytest.mark.parametrize(
    "examples",
    [
        40,
        pytest.param(600, marks=[pytest.mark.proof, pytest.mark.timeout(600)]),
    ],
)
def test_streams_end_dense_ordered_and_equal_to_what_was_committed(
    examples: int,
    database: Database,
    plain: "redis.Redis",
    make_relay: Callable[..., Relay],
) -> None:
    relay = make_relay(database)

    run_state_machine_as_test(
        lambda: Mirror(database, relay, plain),  # type: ignore[arg-type] # it takes any callable
        settings=settings(max_examples=examples, stateful_step_count=25, deadline=None),
    )
