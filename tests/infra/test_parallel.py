"""Many calls at once: answers come in groups, and a slow call delays only itself."""

import threading
import time
from collections.abc import Iterator
from itertools import chain, islice

import pytest
import structlog

from infra.parallel import answer_groups, forget_threads


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Held shut until the test ends, so that no call outlives it."""
    gate = threading.Event()
    yield gate
    gate.set()


def double(number: int) -> int:
    return number * 2


def test_every_subject_is_answered_once() -> None:
    groups = answer_groups(double, range(500), limit=50, deadline_s=60)

    assert sorted(chain(*groups)) == [(number, number * 2) for number in range(500)]


def test_no_subjects_make_no_group() -> None:
    assert list(answer_groups(double, [], limit=10, deadline_s=60)) == []


def test_group_is_never_larger_than_asked() -> None:
    groups = list(answer_groups(double, range(25), limit=5, deadline_s=60, group_size=10))

    assert max(map(len, groups)) <= 10
    assert sum(map(len, groups)) == 25


def test_slow_call_delays_only_itself(gate: threading.Event) -> None:
    def call(name: str) -> str:
        return name if name == "quick" else str(gate.wait(60))

    groups = answer_groups(call, ["slow", "quick"], limit=2, deadline_s=60, group_wait_s=0.01)

    assert next(groups) == [("quick", "quick")]
    gate.set()
    assert next(groups) == [("slow", "True")]


def test_further_subjects_are_called_while_a_slow_call_is_under_way(gate: threading.Event) -> None:
    def call(name: str) -> str:
        return str(gate.wait(60)) if name == "slow" else name

    groups = answer_groups(call, ["slow", "second"], limit=2, deadline_s=60)

    first = next(groups)
    first.go_on_with(["third", "fourth"])
    answered = islice(chain(first, chain.from_iterable(groups)), 3)
    assert [name for name, _ in answered] == ["second", "third", "fourth"]


def test_a_group_wants_as_many_as_keep_all_calls_going() -> None:
    supply = iter(range(10, 100))
    answered: list[tuple[int, int]] = []
    wanted: list[int] = []

    groups = answer_groups(
        double, range(10), limit=10, deadline_s=60, group_size=40, group_wait_s=60
    )
    for group in groups:
        answered += group
        wanted.append(group.wanted)
        group.go_on_with(list(islice(supply, group.wanted)))

    assert sorted(answered) == [(number, number * 2) for number in range(100)]
    assert wanted == [20] * 6


def test_call_that_raises_is_logged_and_not_waited_for() -> None:
    def call(number: int) -> float:
        return 1 / number

    with structlog.testing.capture_logs() as lines:
        groups = list(answer_groups(call, [0, 1, 0, 2], limit=2, deadline_s=60))

    assert sorted(chain(*groups)) == [(1, 1.0), (2, 0.5)]
    assert [line["event"] for line in lines].count("outside_call_broke") == 2


def test_group_waits_a_moment_for_more() -> None:
    def call(delay_s: float) -> None:
        time.sleep(delay_s)  # the call itself takes its time

    groups = list(answer_groups(call, [0, 0.05], limit=2, deadline_s=60, group_wait_s=60))

    assert [len(group) for group in groups] == [2]


def test_subjects_without_an_answer_at_the_deadline_are_left_out(gate: threading.Event) -> None:
    def call(name: str) -> str:
        return name if name == "quick" else str(gate.wait(60))

    began = time.monotonic()
    groups = list(answer_groups(call, ["slow", "quick"], limit=2, deadline_s=3))

    assert groups == [[("quick", "quick")]]
    assert time.monotonic() - began < 30


def test_what_has_not_begun_at_the_deadline_never_begins(gate: threading.Event) -> None:
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        gate.wait(60)

    list(answer_groups(call, [1, 2, 3], limit=1, deadline_s=0.1))
    gate.set()

    assert list(answer_groups(double, [9], limit=1, deadline_s=60)) == [[(9, 18)]]
    assert begun in ([], [1])  # a loaded machine may not even begin the first


def test_no_more_calls_than_allowed_are_under_way_at_once() -> None:
    lock, running, peak = threading.Lock(), [0], [0]
    four_have_begun = threading.Barrier(4, timeout=60)

    def call(number: int) -> None:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        if number < 4:
            four_have_begun.wait()
        time.sleep(0.001)  # the call itself takes its time
        with lock:
            running[0] -= 1

    list(answer_groups(call, range(40), limit=4, deadline_s=120))

    assert peak[0] == 4


def test_threads_left_behind_by_a_fork_are_made_anew() -> None:
    list(answer_groups(double, [1], limit=1, deadline_s=60))

    forget_threads()

    assert list(answer_groups(double, [2], limit=1, deadline_s=60)) == [[(2, 4)]]
