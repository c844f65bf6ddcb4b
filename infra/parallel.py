"""Many outside calls at once from synchronous code, answered in groups as they come."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

MOST_THREADS = 256


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
    by their own time-outs. `call` must not raise.
    """
    waiting = deque(subjects)
    answers: queue.SimpleQueue[tuple[S, T]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                subject = waiting.popleft()
            except IndexError:
                return
            answers.put((subject, call(subject)))

    for _ in range(min(limit, len(subjects))):
        _threads().submit(work)
    ends_at = time.monotonic() + deadline_s
    left = len(subjects)
    while left:
        group = _take_group(answers, ends_at, min(left, group_size), group_wait_s)
        if not group:
            waiting.clear()  # what has not begun must not begin after the deadline
            return
        left -= len(group)
        yield group


def forget_threads() -> None:
    """Forget the pool after a fork: its threads stayed behind in the parent."""
    _threads.cache_clear()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="outside-call")


def _take_group(
    answers: queue.SimpleQueue[tuple[S, T]], ends_at: float, size: int, wait_s: float
) -> list[tuple[S, T]]:
    group: list[tuple[S, T]] = []
    until = ends_at
    while len(group) < size:
        try:
            group.append(answers.get(timeout=max(0.0, until - time.monotonic())))
        except queue.Empty:
            break
        if len(group) == 1:
            until = min(ends_at, time.monotonic() + wait_s)
    return group
