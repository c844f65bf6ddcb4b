"""Many outside calls at once from synchronous code, answered in groups as they come."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from infra.logs import log

S = TypeVar("S")
T = TypeVar("T")

MOST_THREADS = 256
# Each time so much has passed with calls still waiting, twice as many threads take part: calls that
# answer at once need one thread, and slow ones soon have all they may.
RECRUIT_EVERY_S = 0.001


def answer_groups(
    call: Callable[[S], T],
    subjects: Sequence[S],
    *,
    limit: int,
    deadline_s: float,
    group_size: int = 200,
    group_wait_s: float = 0.05,
) -> Iterator[list[tuple[S, T]]]:
    """Call every subject, at most `limit` at once; yield answers as they come, in groups.

    A group ends when it is full or `group_wait_s` after its first answer, so that one slow call
    delays only itself. Subjects without an answer at the deadline are in no group; their calls end
    by their own time-outs. A call that raises is logged and has no answer either.
    """
    crew = _Crew(call, subjects, limit)
    ends_at = time.monotonic() + deadline_s
    left = len(subjects)
    while left:
        ended = _take_group(crew, ends_at, min(left, group_size), group_wait_s)
        if not ended:
            crew.dismiss()
            return
        left -= len(ended)
        if group := [it for it in ended if not isinstance(it, _Broken)]:
            yield group


def forget_threads() -> None:
    """Forget the pool after a fork: its threads stayed behind in the parent."""
    _threads.cache_clear()


@dataclass(frozen=True, slots=True)
class _Broken:
    """A call that raised: the bug is in the log, and nobody need wait for an answer."""


class _Crew(Generic[S, T]):
    """Threads that work through the subjects; more of them the longer it takes."""

    def __init__(self, call: Callable[[S], T], subjects: Sequence[S], limit: int) -> None:
        self._call = call
        self._waiting = deque(subjects)
        self._limit = min(limit, len(subjects), MOST_THREADS)
        self._size = 0
        self._grows_at = 0.0
        self._answers: queue.SimpleQueue[tuple[S, T] | _Broken] = queue.SimpleQueue()

    def answer(self, until: float) -> tuple[S, T] | _Broken | None:
        """Wait for the next call to end; None if none did in time."""
        while True:
            self._grow()
            now = time.monotonic()
            growing = self._waiting and self._size < self._limit
            wait_s = min(until - now, RECRUIT_EVERY_S) if growing else until - now
            try:
                return self._answers.get(timeout=max(0.0, wait_s))
            except queue.Empty:
                if time.monotonic() >= until:
                    return None

    def dismiss(self) -> None:
        """Begin no further call."""
        self._waiting.clear()

    def _grow(self) -> None:
        now = time.monotonic()
        if now < self._grows_at or not self._waiting or self._size >= self._limit:
            return
        more = min(max(1, self._size), self._limit - self._size)
        for _ in range(more):
            _threads().submit(self._work)
        self._size += more
        self._grows_at = now + RECRUIT_EVERY_S

    def _work(self) -> None:
        while True:
            try:
                subject = self._waiting.popleft()
            except IndexError:
                return
            self._answers.put(self._ended(subject))

    def _ended(self, subject: S) -> tuple[S, T] | _Broken:
        try:
            return subject, self._call(subject)
        except Exception:  # noqa: BLE001 - the outermost line: nobody reads what a thread raises
            log.exception("outside_call_broke")
            return _Broken()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="outside-call")


def _take_group(
    crew: _Crew[S, T], ends_at: float, size: int, wait_s: float
) -> list[tuple[S, T] | _Broken]:
    group: list[tuple[S, T] | _Broken] = []
    until = ends_at
    while len(group) < size:
        answered = crew.answer(until)
        if answered is None:
            break
        group.append(answered)
        if len(group) == 1:
            until = min(ends_at, time.monotonic() + wait_s)
    return group
