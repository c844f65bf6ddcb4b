"""Ring a task after a commit. A bell that does not ring makes work late, never lost."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from queue import SimpleQueue

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
    if _ringer is None:
        _ring(asked)
    else:
        _ringer.ask(asked)


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
    """A bell, and the context of who asked for it: the message names the request."""

    bell: Bell
    context: Context


class _Ringer:
    """A thread that rings what others ask for, each bell once however many have asked."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Mapping[str, _Asked] | None] = SimpleQueue()
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
        open_ = True
        while open_:
            waiting = [self._queue.get()]
            while not self._queue.empty():  # nobody else takes from it
                waiting.append(self._queue.get())
            open_ = waiting[-1] is not None
            gathered: dict[str, _Asked] = {}
            for asked in waiting:
                gathered |= asked or {}
            heard = True
            try:
                heard = _ring(gathered)
            except Exception:  # noqa: BLE001 - the outermost loop: who asks next is to be heard all the same
                log.exception("ringing_failed")
            longest = _GATHER_S if heard else _GATHER_UNHEARD_S
            self._closing.wait(min(len(waiting) * _GATHER_EACH_S, longest))


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
