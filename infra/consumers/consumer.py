"""A consumer of a group: each event has its effect once, in order of its subject's versions.

Redis says what is new and who works on what; the consumer's own database says what is done. So a
flushed or rebuilt stream, a lost group or a dead peer makes things late, never wrong: what Redis
does not bring is read from the past. `docs/streams.md` shows how to use it.
"""

import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event as Signal
from time import monotonic

from infra import metrics
from infra.consumers import dead_letters, inbox
from infra.consumers.group import Delivery, Group
from infra.consumers.handling import Handler, Handling, Patience, Waiting
from infra.consumers.inbox import HandledByAnother, Place
from infra.consumers.past import Past
from infra.db import SERVER_ERRORS, Sessions, transact
from infra.errors import Transient
from infra.events.archive import EventsGone, PositionUnknown
from infra.events.cursor import Position
from infra.logs import log
from infra.redis import RedisDown

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
        self._terms = terms or Terms()
        self._on_break = on_break or _tell_break
        self._handling = Handling(
            group.name,
            sessions,
            past,
            handle,
            Patience(self._terms.most_deliveries, self._terms.retry_s),
            on_break=self._on_break,
        )
        self._waiting: dict[tuple[str, Position], Waiting] = {}
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
        with suppress(HandledByAnother):
            transact(
                self._sessions,
                lambda session: inbox.begin(
                    session, self.name, topic, after=after, began=story.began
                ),
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
                self._handling.undo(told, self._past.story(topic))
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

    def _replay(self, stop: Signal) -> None:
        while not stop.is_set():
            with self._sessions() as session:
                due = dead_letters.list_due(session, self.name, self._group.topics)
            replayed = [self._handling.replay(entry) for entry in due]
            if not any(replayed):
                return

    def _work_on(self, deliveries: Iterable[Delivery], stop: Signal) -> None:
        """Handle what was delivered, one by one; what cannot be done now is kept for later."""
        settled = []
        for delivery in deliveries:
            key = (delivery.entry.topic, delivery.entry.place)
            if stop.is_set() or key in self._waiting:
                self._waiting.setdefault(key, Waiting(delivery, monotonic()))
                continue
            waiting = Waiting(delivery, monotonic())
            if self._handling.settle(waiting):
                settled.append(delivery)
            else:
                self._waiting[key] = waiting
        self._group.acknowledge(settled)

    def _try_waiting(self, stop: Signal) -> None:
        settled = []
        for key, waiting in list(self._waiting.items()):
            if stop.is_set():
                break
            if monotonic() >= waiting.next_at and self._handling.settle(waiting):
                settled.append(waiting.delivery)
                del self._waiting[key]
        self._group.acknowledge(settled)

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


def _most(seen: Position | None, before_first: int | None) -> int | None:
    """Tell up to which number everything must be somewhere; None: as far as there is anything."""
    if seen is None or before_first is None:
        return None
    return max(seen.seq, before_first)


def _is_missing(place: Place, until: int | None, known: set[int]) -> bool:
    return until is None or any(n not in known for n in range(place.seq + 1, until + 1))
