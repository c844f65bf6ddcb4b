"""A consumer of a group: each event has its effect once, in order of its subject's versions.

Redis says what is new and who works on what; the consumer's own database says what is done. So a
flushed or rebuilt stream, a lost group or a dead peer makes things late, never wrong: what Redis
does not bring is read from the past. `docs/streams.md` shows how to use it.
"""

import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from threading import Event as Signal
from time import monotonic

from sqlalchemy.orm import Session

from infra import dead_letters, inbox, metrics
from infra.archive import EventsGone, PositionUnknown
from infra.cursor import Position
from infra.db import SERVER_ERRORS, Sessions, transact
from infra.entries import Entry
from infra.errors import Transient
from infra.group import Delivery, Group
from infra.inbox import HandledByAnother, Place, Verdict
from infra.logs import log
from infra.past import Past, Story, first_about
from infra.redis import RedisDown

Handler = Callable[[Session, Entry], None]
_TURN_S = 1.0
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Terms:
    """How a consumer works; times in seconds.

    `claim_after_s` must be longer than one event takes: after it a peer counts as dead.
    """

    from_oldest: bool = False
    most_deliveries: int = 5
    retry_s: float = 1.0
    claim_after_s: float = 30.0
    sweep_s: float = 5.0
    block_s: float = 1.0
    most_waiting: int = 1000


class Outcome(Enum):
    """What became of one event."""

    SETTLED = auto()  # it will not be needed again
    WAITING = auto()  # not now: its turn has not come, or the database is away
    FAILED = auto()


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    since: float
    tries: int = 0
    next_at: float = 0.0


class Consumer:
    """One process of a group. Several share the work; `run` it in each."""

    def __init__(
        self,
        group: Group,
        sessions: Sessions,
        past: Past,
        handle: Handler,
        terms: Terms | None = None,
        *,
        on_break: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self._group = group
        self._sessions = sessions
        self._past = past
        self._handle = handle
        self._terms = terms or Terms()
        self._on_break = on_break or _tell_break
        self._waiting: dict[tuple[str, Position], _Waiting] = {}
        self._swept_at: float | None = None

    def run(self, stop: Signal) -> None:
        """Handle events until `stop` is set; then finish the one in hand and give back the rest."""
        while not stop.is_set():
            try:
                self._turn(stop)
            except (Transient, *SERVER_ERRORS) as error:
                log.warning("consumer_waits", group=self._group.name, error=type(error).__name__)
                stop.wait(_PAUSE_S)
        self._leave()

    def _turn(self, stop: Signal) -> None:
        due = self._swept_at is None or monotonic() - self._swept_at >= self._terms.sweep_s
        if due or self._group.is_lost:
            self._sweep(stop)
            self._swept_at = monotonic()
        self._try_waiting(stop)
        if len(self._waiting) >= self._terms.most_waiting:
            stop.wait(self._terms.retry_s)
            return
        block_s = min(self._terms.block_s, self._terms.retry_s / 10 if self._waiting else _TURN_S)
        self._work_on(self._group.read(block_s=block_s), stop)

    def _sweep(self, stop: Signal) -> None:
        """Do what no delivery brings: begin, catch up, take over from the dead, replay, prune."""
        for topic in self._group.topics:
            self._begin(topic)
            place = self._advance(topic)[0]
            first = self._group.ensure(topic, after=place.position)
            self._catch_up(topic, stop, first=first)
        claimed = self._group.claim(idle_s=self._terms.claim_after_s)
        self._work_on(claimed, stop)
        self._group.renew([one.delivery for one in self._waiting.values()])
        self._replay(stop)
        for topic in self._group.topics:
            transact(self._sessions, partial(inbox.prune, group=self.name, topic=topic))
            self._measure(topic)

    @property
    def name(self) -> str:
        """The group's name."""
        return self._group.name

    def _begin(self, topic: str) -> None:
        with self._sessions() as session:
            if inbox.find_place(session, self.name, topic) is not None:
                return
        story = self._past.story(topic)
        after = story.head
        if self._terms.from_oldest:
            oldest = self._past.page(topic, after=None, limit=1)
            if oldest:
                after = Position(oldest[0].place.epoch, oldest[0].place.seq - 1)
        transact(
            self._sessions,
            lambda session: inbox.begin(session, self.name, topic, after=after, began=story.began),
        )

    def _advance(self, topic: str) -> tuple[Place, set[int]]:
        return transact(self._sessions, lambda session: inbox.advance(session, self.name, topic))

    def _catch_up(self, topic: str, stop: Signal, *, first: Position | None) -> None:
        """Read from the past what the group will not be given, or never was.

        Without a stream that is all there is. Else it is what lies before the stream's `first`
        entry, and what was delivered but is neither pending nor handled.
        """
        seen = self._group.delivered(topic)
        pending = self._group.pending(topic)  # before what is handled: that is written first
        while not stop.is_set():
            place, known = self._advance(topic)
            until = _most(seen, first.seq - 1 if first else None)
            missing = _is_missing(place, until, known | pending)
            if not missing:
                return
            try:
                page = self._past.page(topic, after=place.position)
            except EventsGone as gone:
                self._skip_gap(topic, gone)
                continue
            except PositionUnknown as told:
                self._undo(told, self._past.story(topic))
                return
            wanted = [
                entry
                for entry in page
                if (until is None or entry.place.seq <= until)
                and entry.place.seq not in known
                and entry.place.seq not in pending
            ]
            self._work_on([Delivery(entry) for entry in wanted], stop)
            if not wanted or self._advance(topic)[0].seq == place.seq:
                return

    def _skip_gap(self, topic: str, gone: EventsGone) -> None:
        after = str(gone.extra["go_on_after"]).split("-")
        before = Position(int(after[0]), int(after[1]) + 1)
        transact(
            self._sessions,
            lambda session: inbox.skip_gap(session, self.name, topic, before=before),
        )
        self._on_break(topic, gone)

    def _undo(self, told: PositionUnknown, story: Story) -> bool:
        """Forget what a restored database never knew; False if a peer has done so."""
        topic = str(told.extra["topic"])
        undone = transact(
            self._sessions,
            lambda session: inbox.open_epoch(session, self.name, topic, began=story.began),
        )
        if undone:
            self._on_break(topic, told)
        return undone

    def _replay(self, stop: Signal) -> None:
        while not stop.is_set():
            with self._sessions() as session:
                due = dead_letters.list_due(session, self.name, self._group.topics)
            replayed = [self._replay_one(entry) for entry in due]
            if not any(replayed):
                return

    def _replay_one(self, entry: Entry) -> bool:
        def again(session: Session) -> None:
            session.delete(dead_letters.get(session, self.name, entry.topic, entry.place.seq))
            if inbox.admit(session, self.name, entry, replay=True) is Verdict.NEW:
                self._handle(session, entry)

        try:
            transact(self._sessions, again)
        except (Transient, *SERVER_ERRORS, HandledByAnother, dead_letters.DeadLetterNotFound):
            return False
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is told and kept
            told = _describe(error)
            transact(
                self._sessions,
                lambda session: dead_letters.failed_again(session, self.name, entry, error=told),
            )
            return False
        metrics.consumer_handled.labels(self.name, entry.topic).inc()
        return True

    def _work_on(self, deliveries: Iterable[Delivery], stop: Signal) -> None:
        """Handle what was delivered, one by one; what cannot be done now is kept for later."""
        settled = []
        for delivery in deliveries:
            key = (delivery.entry.topic, delivery.entry.place)
            if stop.is_set() or key in self._waiting:
                self._waiting.setdefault(key, _Waiting(delivery, monotonic()))
                continue
            waiting = _Waiting(delivery, monotonic())
            if self._settle(waiting):
                settled.append(delivery)
            else:
                self._waiting[key] = waiting
        self._group.acknowledge(settled)

    def _try_waiting(self, stop: Signal) -> None:
        settled = []
        for key, waiting in list(self._waiting.items()):
            if stop.is_set():
                break
            if monotonic() >= waiting.next_at and self._settle(waiting):
                settled.append(waiting.delivery)
                del self._waiting[key]
        self._group.acknowledge(settled)

    def _settle(self, waiting: _Waiting) -> bool:
        entry = waiting.delivery.entry
        outcome = self._attempt(waiting)
        if outcome is Outcome.SETTLED:
            return True
        delay_s = self._terms.retry_s / 10
        if outcome is Outcome.FAILED:
            delay_s = self._terms.retry_s
            waiting.tries += 1
            delay_s *= 2**waiting.tries / 2
            if max(waiting.tries, waiting.delivery.times) >= self._terms.most_deliveries:
                self._park(entry, waiting)
                return True
        waiting.next_at = monotonic() + delay_s
        return False

    def _attempt(self, waiting: _Waiting) -> Outcome:
        entry = waiting.delivery.entry
        if waiting.delivery.times > self._terms.most_deliveries and not waiting.tries:
            # Nobody came to the end of it: whoever begins it may die of it, too.
            waiting.tries, waiting.delivery.error = self._terms.most_deliveries, "never came back"
            return Outcome.FAILED
        try:
            return self._apply(entry, waiting)
        except HandledByAnother:
            return Outcome.SETTLED
        except (Transient, *SERVER_ERRORS) as error:
            log.warning("consumer_waits", group=self.name, error=type(error).__name__)
            return Outcome.WAITING
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is told and kept
            log.exception(
                "event_not_handled", group=self.name, topic=entry.topic, seq=entry.place.seq
            )
            metrics.consumer_failed.labels(self.name, entry.topic).inc()
            waiting.delivery.error = _describe(error)
            return Outcome.FAILED

    def _apply(self, entry: Entry, waiting: _Waiting) -> Outcome:
        verdict = transact(self._sessions, lambda session: self._effect(session, entry))
        if verdict is Verdict.RESTORED:
            story = self._past.story(entry.topic)
            told = PositionUnknown(entry.topic, began=story.began, head=story.head)
            return self._apply(entry, waiting) if self._undo(told, story) else Outcome.WAITING
        if verdict is Verdict.EARLY and self._is_first(entry, waiting):
            verdict = transact(
                self._sessions, lambda session: self._effect(session, entry, first=True)
            )
        if verdict is Verdict.EARLY:
            return Outcome.WAITING
        if verdict is Verdict.NEW:
            metrics.consumer_handled.labels(self.name, entry.topic).inc()
        return Outcome.SETTLED

    def _effect(self, session: Session, entry: Entry, *, first: bool = False) -> Verdict:
        verdict = inbox.admit(session, self.name, entry, first=first)
        if verdict is Verdict.NEW:
            self._handle(session, entry)
        elif verdict is Verdict.BEHIND:
            dead_letters.park(session, self.name, entry, behind=True)
        return verdict

    def _is_first(self, entry: Entry, waiting: _Waiting) -> bool:
        """Tell whether the version before an event is nobody's to handle: pruned, or of before us.

        Mostly a peer has it in hand, so the past is asked only when it does not come.
        """
        with self._sessions() as session:
            last = inbox.find_last(session, self.name, entry)
            place = inbox.get_place(session, self.name, entry.topic)
        if last is not None:
            if monotonic() - waiting.since < self._terms.retry_s:
                return False
            afters = [Position(last.epoch, last.seq)]
        else:
            # What stands at the floor may be of this epoch or, after a restore, of one before it.
            afters = [Position(place.seq_epoch, place.floor), Position(place.epoch, place.floor)]
        found = (first_about(self._past, entry, after=after) for after in afters)
        earliest = next((one for one in found if one is not None), None)
        return earliest is not None and earliest.place == entry.place

    def _park(self, entry: Entry, waiting: _Waiting) -> None:
        error = waiting.delivery.error
        transact(
            self._sessions,
            lambda session: dead_letters.park(
                session, self.name, entry, behind=False, tries=waiting.tries, error=error
            ),
        )
        metrics.consumer_dead_letters.labels(self.name, entry.topic).inc()
        log.error("event_parked", group=self.name, topic=entry.topic, seq=entry.place.seq)

    def _measure(self, topic: str) -> None:
        place, _ = self._advance(topic)
        last = self._group.last(topic)
        if last is not None:
            metrics.consumer_lag.labels(self.name, topic).set(max(0, last.seq - place.seq))

    def _leave(self) -> None:
        try:
            self._group.leave([one.delivery for one in self._waiting.values()])
        except RedisDown:
            log.warning("consumer_left_unheard", group=self.name)


def new_name() -> str:
    """Make a name for a consumer that nobody else has."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def _tell_break(topic: str, told: Exception) -> None:
    log.error("story_broken", topic=topic, error=type(told).__name__, detail=str(told))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _most(seen: Position | None, before_first: int | None) -> int | None:
    """Tell up to which number everything must be somewhere; None: as far as there is anything."""
    if seen is None or before_first is None:
        return None
    return max(seen.seq, before_first)


def _is_missing(place: Place, until: int | None, known: set[int]) -> bool:
    return until is None or any(n not in known for n in range(place.seq + 1, until + 1))
