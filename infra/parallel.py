"""Many outside calls at once from synchronous code, answered in groups as they come."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    group_size: int = 500,
    group_wait_s: float = 0.05,
) -> Iterator["Group[S, T]"]:
    """Call every subject, at most `limit` at once; yield answers as they come, in groups.

    A group ends when it is full or `group_wait_s` after its first answer, so that one slow call
    delays only itself. Each group takes further subjects, and says how many keep all calls going
    until the next one.

    Subjects without an answer `deadline_s` after the last ones came are in no group; their calls
    end by their own time-outs. A call that raises is logged and has no answer either.
    """
    crew = _Crew(call, limit, deadline_s)
    crew.take_on(subjects)
    try:
        while crew.unanswered:
            ended = crew.answers(most=group_size, wait_s=group_wait_s)
            if not ended:
                return
            if answers := [it for it in ended if not isinstance(it, _Broken)]:
                # A group took as long to come and to be dealt with as the next one will.
                most = min(2 * len(ended), 2 * limit, group_size)
                yield Group(answers, crew, most)
    finally:
        crew.dismiss()


def forget_threads() -> None:
    """Forget the pool after a fork: its threads stayed behind in the parent."""
    _threads.cache_clear()


@dataclass(frozen=True, slots=True)
class _Broken:
    """A call that raised: the bug is in the log, and nobody need wait for an answer."""


@dataclass(frozen=True, slots=True)
class _Dismissal:
    """What a thread finds in the line when it is needed no more."""


_Ended = tuple[S, T] | _Broken


class Group(list[tuple[S, T]]):
    """Subjects with their answers, which came together."""

    def __init__(self, answers: list[tuple[S, T]], crew: "_Crew[S, T]", most: int) -> None:
        super().__init__(answers)
        self._crew = crew
        self._most = most

    @property
    def wanted(self) -> int:
        """How many further subjects keep all calls going until the next group; not below 0."""
        return max(0, self._most - self._crew.waiting)

    def go_on_with(self, subjects: Sequence[S]) -> None:
        """Have further subjects called; their answers come in later groups."""
        self._crew.take_on(subjects)


class _Crew(Generic[S, T]):
    """Threads that work through a line of subjects; more of them the longer it takes."""

    def __init__(self, call: Callable[[S], T], limit: int, deadline_s: float) -> None:
        self.unanswered = 0
        self._call = call
        self._deadline_s = deadline_s
        self._ends_at = 0.0
        self._limit = min(limit, MOST_THREADS)
        self._size = 0
        self._grows_at = 0.0
        self._line: queue.SimpleQueue[S | _Dismissal] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[_Ended[S, T]] = queue.SimpleQueue()

    @property
    def waiting(self) -> int:
        """How many subjects are in line, their calls not yet begun."""
        return self._line.qsize()

    def take_on(self, subjects: Sequence[S]) -> None:
        """Put subjects in line; answers are waited for from now on, if there are any."""
        for subject in subjects:
            self._line.put(subject)
        self.unanswered += len(subjects)
        if subjects:
            self._ends_at = time.monotonic() + self._deadline_s

    def answers(self, *, most: int, wait_s: float) -> list[_Ended[S, T]]:
        """Wait for a call to end, and a moment for others; nothing if none did in time."""
        group: list[_Ended[S, T]] = []
        most, until = min(most, self.unanswered), self._ends_at
        while len(group) < most:
            ended = self._next(until)
            if ended is None:
                break
            group.append(ended)
            if len(group) == 1:
                until = min(until, time.monotonic() + wait_s)
        self.unanswered -= len(group)
        return group

    def dismiss(self) -> None:
        """Begin no further call, and let the threads go."""
        while self.waiting:
            with suppress(queue.Empty):
                self._line.get_nowait()
        for _ in range(self._size):
            self._line.put(_Dismissal())

    def _next(self, until: float) -> _Ended[S, T] | None:
        while True:
            self._grow()
            now = time.monotonic()
            growing = self.waiting and self._size < self._limit
            wait_s = min(until - now, RECRUIT_EVERY_S) if growing else until - now
            try:
                return self._ended.get(timeout=max(0.0, wait_s))
            except queue.Empty:
                if time.monotonic() >= until:
                    return None

    def _grow(self) -> None:
        now, waiting = time.monotonic(), self.waiting
        if now < self._grows_at or not waiting or self._size >= self._limit:
            return
        recruits = min(max(1, self._size), self._limit - self._size, waiting)
        for _ in range(recruits):
            _threads().submit(self._work)
        self._size += recruits
        self._grows_at = now + RECRUIT_EVERY_S

    def _work(self) -> None:
        while not isinstance(subject := self._line.get(), _Dismissal):
            self._ended.put(self._end(subject))

    def _end(self, subject: S) -> _Ended[S, T]:
        try:
            return subject, self._call(subject)
        except Exception:  # noqa: BLE001 - the outermost line: nobody reads what a thread raises
            log.exception("outside_call_broke")
            return _Broken()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="outside-call")
