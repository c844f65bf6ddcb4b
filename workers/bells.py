"""Ring a task after a commit. A bell that does not ring makes work late, never lost."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import cache
from queue import Empty, SimpleQueue

from kombu.exceptions import OperationalError

from infra.logs import log
from infra.metrics import bells_failed, bells_rung
from infra.redis import RedisDown
from workers import deps
from workers.app import app
from workers.task import Bell
from workers.tasks import RETRY_OF

_QUIET_AFTER_FAILURE_S = 1.0
# So long is gathered for each that has asked in the time before: few are rung for at once, many
# together. At most so long; longer while nobody has come for the last ring, who will see what is
# added until he does.
_GATHER_EACH_S = 0.005
_GATHER_S, _GATHER_UNHEARD_S = 0.02, 0.05
_quiet_until = 0.0
_ringer: "_Ringer | None" = None


def ring(*bells: Bell) -> None:
    """Tell workers that there may be work; at most one message per task is under way.

    Never raises for a broken broker: the sweep finds the work. After a failure nothing is tried
    for a second, so that a dead broker does not slow down every request.
    """
    context = copy_context()
    asked = {bell.name: _Asked(bell, context) for bell in bells}
    ringer = _ringer  # looked at once: it may be put away by who stops, while others still ring
    if ringer is None:
        _ring(asked)
    else:
        ringer.ask(asked)


def ring_in_time(bell: Bell, *, most_s: float) -> None:
    """Ring by a thread: at once, unless this process has done so less than `most_s` ago.

    For what nobody waits for: all who ask within the time are one ring at its end. If the process
    ends before, the sweep does its work.
    """
    ringer = _ringer or _own_ringer()
    ringer.ask({bell.name: _Asked(bell, copy_context(), most_s)})


@contextmanager
def ringing() -> Iterator[None]:
    """Let `ring` return at once while the block lasts: a thread beside it does the ringing.

    For a process that answers people: none of them waits for the broker. The thread rings for few
    without delay; of many, all who ask in the 20 to 50 ms after a ring are rung for in one go. What
    has been asked for is rung before the block ends; if the process is killed, the sweep does it.
    """
    global _ringer  # noqa: PLW0603 - one ringer for the process
    made, before = _Ringer(), _ringer
    _ringer = made
    try:
        yield
    finally:
        _ringer = before
        made.close()


def send(name: str, *, queue: str, retry_of: int | None = None) -> None:
    """Send a task one message of its own, which says which failed one it tries again.

    Never raises for a broken broker: what is due is swept, and a person can ask once more.
    """
    headers = {} if retry_of is None else {RETRY_OF: retry_of}
    try:
        app.send_task(name, queue=queue, headers=headers)
    except (RedisDown, OperationalError):
        bells_failed.labels(name).inc()
        log.warning("bell_failed", task=name)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A bell, and the context of who asked for it: the message names the request.

    Between two rings of it there is at least `apart_s`.
    """

    bell: Bell
    context: Context
    apart_s: float = 0.0


class _Ringer:
    """A thread that rings what others ask for, each bell once however many have asked."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Mapping[str, _Asked] | None] = SimpleQueue()
        self._waiting: dict[str, _Asked] = {}
        self._rung_at: dict[str, float] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
        self._thread.start()

    def ask(self, asked: Mapping[str, _Asked]) -> None:
        """Have bells rung soon."""
        self._queue.put(asked)

    def close(self) -> None:
        """Ring what is left, and end."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._turn()
        self._turn()  # for what is left

    def _turn(self) -> None:
        count = self._listen()
        due = self._take_due()
        heard = True
        try:
            heard = not due or _ring(due)
        except Exception:  # noqa: BLE001 - the outermost loop: who asks next is to be heard all the same
            log.exception("ringing_failed")
        longest_s = _GATHER_S if heard else _GATHER_UNHEARD_S
        self._closing.wait(min(count * _GATHER_EACH_S, longest_s))

    def _listen(self) -> int:
        """Wait until somebody asks or a bell is due; tell how many have asked for one at once."""
        count, wait_s = 0, self._wait_s()
        with suppress(Empty):
            while (all_asked := self._queue.get(timeout=wait_s)) is not None:
                for name, asked in all_asked.items():
                    known = self._waiting.setdefault(name, asked)
                    if asked.apart_s < known.apart_s:
                        self._waiting[name] = asked
                count += any(not asked.apart_s for asked in all_asked.values())
                wait_s = 0.0
        return count

    def _wait_s(self) -> float | None:
        if self._closing.is_set():
            return 0.0
        due_at = [self._due_at(name) for name in self._waiting]
        return max(0.0, min(due_at) - time.monotonic()) if due_at else None

    def _due_at(self, name: str) -> float:
        return self._rung_at.get(name, 0.0) + self._waiting[name].apart_s

    def _take_due(self) -> dict[str, _Asked]:
        """Take the bells whose time has come, and all of them in the end."""
        now, all_ = time.monotonic(), self._closing.is_set()
        names = [name for name in self._waiting if all_ or self._due_at(name) <= now]
        self._rung_at.update(dict.fromkeys(names, now))
        return {name: self._waiting.pop(name) for name in names}


def _ring(asked: Mapping[str, _Asked]) -> bool:
    """Send a message for each bell that nobody else has rung; tell whether there was one."""
    global _quiet_until  # noqa: PLW0603 - one breaker for the process
    if not asked or time.monotonic() < _quiet_until:
        return False
    left = dict(asked)
    try:
        claimed = deps.bells().claim(*asked)
        for name in asked.keys() - claimed:
            del left[name]
        for name in tuple(left):
            left[name].context.run(left[name].bell.apply_async)
            bells_rung.labels(name).inc()
            del left[name]
    except (RedisDown, OperationalError):
        _quiet_until = time.monotonic() + _QUIET_AFTER_FAILURE_S
        for name in left:
            bells_failed.labels(name).inc()
        log.warning("bell_failed", tasks=list(left))
        return False
    return bool(claimed)


@cache
def _own_ringer() -> _Ringer:
    """Start the thread of a process that rings by itself otherwise, on first use."""
    return _Ringer()
