"""The mirror: numbers committed events and puts them on their streams, each exactly once.

The cursor is the stream's own last id. So one path serves a crash between any two lines, two relays
at once, a lost tail and FLUSHALL: look where the stream stands, send what comes after.
"""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from infra import failpoints, outbox
from infra.db import Sessions, transact
from infra.events import mending, short_way
from infra.events.mending import Keeping
from infra.events.numbering import number
from infra.events.short_way import Sent
from infra.outbox import StreamState
from infra.streams import ABSENT, Streams, Tip, parse_id

STEP = 2000
_LOCKED_PAUSE_S = 0.02
# Another relay on the short way is done in no time.
_SHORT_PAUSE_S = 0.002
# The next numbers of a topic note it anyway; this is for topics that have become quiet.
_NOTE_EVERY_S = 1.0


class Pace:
    """Lets something be done once in a second."""

    def __init__(self) -> None:
        self._due_s = 0.0

    def is_due(self) -> bool:
        """Tell whether it may be done now, and count from now if so."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + _NOTE_EVERY_S
        return True


@dataclass(frozen=True)
class Relay:
    """What a relay works with; `retention` and `most` bound how far back a stream is filled.

    `notes` keeps apart the transactions that only note how far streams have come.
    """

    sessions: Sessions
    streams: Streams
    topics: Sequence[str]
    retention: timedelta = timedelta(hours=24)
    most: int = 500_000
    notes: Pace = field(default_factory=Pace, compare=False)

    @property
    def keeping(self) -> Keeping:
        """What a stream that has to begin anew is filled with."""
        return Keeping(self.streams, self.retention, self.most)


@dataclass(frozen=True, slots=True)
class Published:
    """What a run has added, and whether it stopped before the end."""

    added: int
    left: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """What to add next: `count` events above `seq`, behind the id `after`.

    `last_id` is what the stream will end with, if that is known without reading the events.
    `is_locked` tells that another relay is at the topic.
    """

    after: str = ABSENT
    seq: int = 0
    count: int = 0
    last_id: str = ""
    is_locked: bool = False


def publish(relay: Relay) -> int:
    """Bring every topic's stream up to date, however long it takes; return the number added.

    Safe to repeat and to run twice at once: an entry is added only right behind the one before it.

    Raises:
        RedisDown: the streams cannot be reached; nothing was numbered that could not be sent later.
    """
    return run(relay, budget_s=math.inf).added


def run(relay: Relay, *, budget_s: float) -> Published:
    """Bring the streams up to date, and begin nothing new after `budget_s`.

    Topics take turns, a step each, so that a long backlog on one holds up no other.

    Raises:
        RedisDown: as in `publish`.
    """
    ends_at = time.monotonic() + budget_s
    added, sent = _take_short_way(relay)
    behind = _behind(relay, sent)
    if not behind:
        return Published(added, left=False)
    with ThreadPoolExecutor(1, thread_name_prefix="relay") as sender:
        feeds = [_Feed(relay, topic, sender) for topic in behind]
        unsent = feeds
        while unsent and time.monotonic() < ends_at:
            for feed in unsent:
                feed.advance()
            unsent = [feed for feed in feeds if not feed.is_level]
            if unsent and all(feed.is_locked for feed in unsent):
                time.sleep(_LOCKED_PAUSE_S)
        for feed in unsent:
            feed.land()
    _note(relay, {feed.topic: parse_id(feed.last_id) for feed in feeds if feed.last_id})
    return Published(added + sum(feed.added for feed in feeds), left=bool(unsent))


def send_few(relay: Relay) -> Published:
    """Send the new events of all topics if they are few and nothing is out of the ordinary.

    What is left is left to `run`.

    Raises:
        RedisDown: as in `publish`.
    """
    added, sent = _take_short_way(relay)
    return Published(added, left=bool(sent.left or sent.locked))


def _take_short_way(relay: Relay) -> tuple[int, Sent]:
    """Send the few events there are; return how many, and what became of the last try."""
    added, pause_s = 0, _SHORT_PAUSE_S
    while True:
        sent = short_way.send(relay.sessions, relay.streams, relay.topics)
        added += sum(sent.added.values())
        if sent.left or not sent.locked or pause_s >= _LOCKED_PAUSE_S:
            return added, sent
        time.sleep(pause_s)
        pause_s *= 2


def _behind(relay: Relay, sent: Sent) -> list[str]:
    """Find what wants a closer look; if nothing does, note how far streams have come."""
    tips, seen = relay.streams.tips(relay.topics), sent.seen
    wanting = {*sent.left, *sent.locked}
    behind = [
        topic
        for topic in relay.topics
        if topic in wanting or topic not in seen or not seen[topic].is_level_with(tips[topic])
    ]
    unnoted = {
        topic: (tip.epoch, tip.seq)
        for topic, tip in tips.items()
        if topic in seen and seen[topic].published < tip.seq
    }
    if unnoted and not behind and not sent.added and relay.notes.is_due():
        _note(relay, unnoted)
    return behind


class _Feed:
    """One topic's way onto its stream; while a full step is added, the next gets its numbers.

    Nothing depends on how the adding ends: what follows an id that the stream does not have is
    refused by the compare-and-add.
    """

    def __init__(self, relay: Relay, topic: str, sender: Executor) -> None:
        self.added = 0
        self.is_level = self.is_locked = False
        self.topic = topic
        self.last_id = ""  # what the stream ended with, unless the row says so already
        self._relay, self._sender = relay, sender
        self._sent: tuple[_Step, Future[int | None]] | None = None

    def advance(self) -> None:
        """Make one step, and see to it that the one before has been added."""
        ahead = self._sent[0] if self._sent else None
        step = transact(
            self._relay.sessions,
            lambda session: _advance(session, self._relay, self.topic, ahead=ahead),
        )
        if step.count:
            failpoints.reach("events.numbered")
        self.is_locked = step.is_locked
        self.is_level = not (ahead or step.count or step.is_locked)
        self.land()
        if step.count == STEP and step.last_id:
            self._sent = step, self._sender.submit(self._send, step)
        elif step.count:
            self._count(step, self._send(step))

    def land(self) -> None:
        """Wait for the answer about what was sent, and count it.

        Raises:
            RedisDown: nobody knows whether it was added; the stream's last id tells.
        """
        if self._sent is None:
            return
        (step, answer), self._sent = self._sent, None
        self._count(step, answer.result())

    def _count(self, step: _Step, added: int | None) -> None:
        if added:
            self.added += added
            failpoints.reach("events.published")
            if step.count < STEP and step.last_id:
                # That was all there was, and what came since has rung for itself.
                self.is_level, self.last_id = True, step.last_id
        elif added == 0:
            self.is_level = True  # the rows are gone: somebody has deleted them by hand

    def _send(self, step: _Step) -> int | None:
        with self._relay.sessions() as session:
            events = outbox.list_after(session, self.topic, seq=step.seq, limit=step.count)
        added = self._relay.streams.append(self.topic, after=step.after, events=events)
        return len(events) if added else None


def _note(relay: Relay, reached: Mapping[str, tuple[int, int]]) -> None:
    """Write down where streams stand now: a later look tells by it what a stream has lost."""
    if reached:
        transact(relay.sessions, lambda session: outbox.note_published(session, reached))


def _advance(session: Session, relay: Relay, topic: str, *, ahead: _Step | None) -> _Step:
    """Give numbers to what has been committed, and read what the stream lacks.

    All under the topic's lock. The stream is looked at before anything is numbered: a restored
    database would otherwise hand out numbers that subscribers have seen on other events. What is
    being added at this moment (`ahead`) counts as there.
    """
    state = outbox.find_free_state(session, topic)
    if state is None:
        return _Step(is_locked=True)
    tip = mending.mend(session, relay.keeping, state, relay.streams.tips([topic])[topic])
    if tip is None:
        return _Step()
    after, seq = tip.last_id, _seq_before(session, state, tip)
    published = seq if tip.epoch == state.epoch else 0
    if ahead and ahead.after == tip.last_id:
        after, seq = ahead.last_id, ahead.seq + ahead.count
    was_level = seq == state.next_seq - 1
    with session.no_autoflush:
        number(session, state, limit=STEP)
    state.published = published
    count = min(state.next_seq - 1 - seq, STEP)
    # Only what has its number from us a moment ago is surely of this epoch and not pruned.
    last_id = f"{state.epoch}-{seq + count}" if was_level else ""
    return _Step(after, seq, count, last_id)


def _seq_before(session: Session, state: StreamState, tip: Tip) -> int:
    """Tell the number after which to go on; the entries of a dead story count for nothing."""
    if tip.epoch == state.epoch:
        return tip.seq
    first = outbox.first_seq_of_epoch(session, state)
    event = outbox.find_numbered(session, state.topic, seq=tip.seq)
    lives_on = event is None or (event.epoch == tip.epoch and tip.shows(event))
    return tip.seq if tip.seq < first and lives_on else first - 1
