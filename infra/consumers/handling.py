"""One event in a consumer's hands: its effect once and in its turn, or why not yet.

The effect and the row that says so commit together. What fails too often is put aside as a dead
letter, with whatever comes later about the same subject behind it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic

from sqlalchemy.orm import Session

from infra import metrics
from infra.consumers import dead_letters, inbox
from infra.consumers.group import Delivery
from infra.consumers.inbox import HandledByAnother, Verdict
from infra.consumers.past import Past, Story, first_about
from infra.db import SERVER_ERRORS, Sessions, transact
from infra.errors import Transient
from infra.events.archive import PositionUnknown
from infra.events.cursor import Position
from infra.events.entries import Entry
from infra.logs import log

Handler = Callable[[Session, Entry], None]


class Outcome(Enum):
    """What became of one event."""

    SETTLED = auto()  # it will not be needed again
    WAITING = auto()  # not now: its turn has not come, or the database is away
    FAILED = auto()


@dataclass(slots=True)
class Waiting:
    """A delivery that is to be tried, at `next_at` by the process's own clock."""

    delivery: Delivery
    since: float
    tries: int = 0
    next_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often an event is tried, by this consumer or by any, and how soon it is asked for."""

    most_deliveries: int
    retry_s: float


class Handling:
    """What one group does with events, each by itself."""

    def __init__(
        self,
        name: str,
        sessions: Sessions,
        past: Past,
        handle: Handler,
        patience: Patience,
        *,
        on_break: Callable[[str, Exception], None],
    ) -> None:
        self._name = name
        self._sessions = sessions
        self._past = past
        self._handle = handle
        self._patience = patience
        self._on_break = on_break

    def settle(self, waiting: Waiting) -> bool:
        """Try an event; False if it has to be tried again, not before `next_at`.

        Raises:
            Transient, SERVER_ERRORS: it could be neither handled nor put aside.
        """
        outcome = self._attempt(waiting)
        if outcome is Outcome.SETTLED:
            return True
        delay_s = self._patience.retry_s / 10
        if outcome is Outcome.FAILED:
            waiting.tries += 1
            delay_s = self._patience.retry_s * 2 ** (waiting.tries - 1)
            if max(waiting.tries, waiting.delivery.times) >= self._patience.most_deliveries:
                self._park(waiting)
                return True
        waiting.next_at = monotonic() + delay_s
        return False

    def replay(self, entry: Entry) -> bool:
        """Try a dead letter again; False if it stays one, or somebody else has it."""

        def again(session: Session) -> None:
            session.delete(dead_letters.get(session, self._name, entry.topic, entry.place.seq))
            if inbox.admit(session, self._name, entry, replay=True) is Verdict.NEW:
                self._handle(session, entry)

        try:
            transact(self._sessions, again)
        except (Transient, *SERVER_ERRORS, HandledByAnother, dead_letters.DeadLetterNotFound):
            return False
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is told and kept
            told = _describe(error)
            transact(
                self._sessions,
                lambda session: dead_letters.failed_again(session, self._name, entry, error=told),
            )
            return False
        metrics.consumer_handled.labels(self._name, entry.topic).inc()
        return True

    def undo(self, told: PositionUnknown, story: Story) -> bool:
        """Forget what a restored database never knew; False if a peer has done so."""
        topic = str(told.extra["topic"])
        undone = transact(
            self._sessions,
            lambda session: inbox.open_epoch(session, self._name, topic, began=story.began),
        )
        if undone:
            self._on_break(topic, told)
        return undone

    def _attempt(self, waiting: Waiting) -> Outcome:
        delivery, most = waiting.delivery, self._patience.most_deliveries
        entry = delivery.entry
        if delivery.times > most and not waiting.tries:
            # Nobody came to the end of it: whoever begins it may die of it, too.
            waiting.tries, delivery.error = most, "never came back"
            return Outcome.FAILED
        try:
            return self._apply(entry, since=waiting.since)
        except HandledByAnother:
            return Outcome.SETTLED
        except (Transient, *SERVER_ERRORS) as error:
            log.warning("consumer_waits", group=self._name, error=type(error).__name__)
            return Outcome.WAITING
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is told and kept
            log.exception(
                "event_not_handled", group=self._name, topic=entry.topic, seq=entry.place.seq
            )
            metrics.consumer_failed.labels(self._name, entry.topic).inc()
            delivery.error = _describe(error)
            return Outcome.FAILED

    def _apply(self, entry: Entry, *, since: float) -> Outcome:
        verdict = transact(self._sessions, lambda session: self._effect(session, entry))
        if verdict is Verdict.RESTORED:
            story = self._past.story(entry.topic)
            told = PositionUnknown(entry.topic, began=story.began, head=story.head)
            return self._apply(entry, since=since) if self.undo(told, story) else Outcome.WAITING
        if verdict is Verdict.EARLY and self._is_first(entry, since=since):
            verdict = transact(
                self._sessions, lambda session: self._effect(session, entry, first=True)
            )
        if verdict is Verdict.EARLY:
            return Outcome.WAITING
        if verdict is Verdict.NEW:
            metrics.consumer_handled.labels(self._name, entry.topic).inc()
        return Outcome.SETTLED

    def _effect(self, session: Session, entry: Entry, *, first: bool = False) -> Verdict:
        verdict = inbox.admit(session, self._name, entry, first=first)
        if verdict is Verdict.NEW:
            self._handle(session, entry)
        elif verdict is Verdict.BEHIND:
            dead_letters.park(session, self._name, entry, behind=True)
        return verdict

    def _is_first(self, entry: Entry, *, since: float) -> bool:
        """Tell whether the version before an event is nobody's to handle: pruned, or of before us.

        Mostly a peer has it in hand, so the past is asked only when it does not come.
        """
        with self._sessions() as session:
            last = inbox.find_last(session, self._name, entry)
            place = inbox.get_place(session, self._name, entry.topic)
        if last is not None:
            if monotonic() - since < self._patience.retry_s:
                return False
            afters = [Position(last.epoch, last.seq)]
        else:
            # What stands at the floor may be of this epoch or, after a restore, of one before it.
            afters = [Position(place.seq_epoch, place.floor), Position(place.epoch, place.floor)]
        found = (first_about(self._past, entry, after=after) for after in afters)
        earliest = next((one for one in found if one is not None), None)
        return earliest is not None and earliest.place == entry.place

    def _park(self, waiting: Waiting) -> None:
        entry, error = waiting.delivery.entry, waiting.delivery.error
        try:
            transact(
                self._sessions,
                lambda session: dead_letters.park(
                    session, self._name, entry, behind=False, tries=waiting.tries, error=error
                ),
            )
        except HandledByAnother:
            return  # who has claimed it meanwhile was sooner
        metrics.consumer_dead_letters.labels(self._name, entry.topic).inc()
        log.error("event_parked", group=self._name, topic=entry.topic, seq=entry.place.seq)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
