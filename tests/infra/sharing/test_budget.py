from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from infra import redis
from infra.redis import RedisDown
from infra.sharing.budget import CallBudget, Lane, Limits
from tests.support.processes import PYTHON, ROOT, Nursery, eventually
from tests.support.valkey import Valkey

MINUTE_MS = 60_000
START_MS = 1_800_000_000_000
LONG_AGO_MS = 1_700_000_000_000
SETTLED_MS = START_MS + 2 * MINUTE_MS


@pytest.fixture
def make_budget(valkey: Valkey) -> Callable[..., CallBudget]:
    def make(per_minute: int = 60, per_second: int = 30) -> CallBudget:
        client = redis.connect(valkey.url(2))
        return CallBudget(client, name="test", limits=Limits(per_minute, per_second))

    return make


@pytest.fixture
def settled(make_budget: Callable[..., CallBudget]) -> CallBudget:
    """A budget whose past minute is known to be empty."""
    budget = make_budget()
    budget.take(Lane.INTERACTIVE, now_ms=START_MS)
    return budget


def spend_all(budget: CallBudget, lane: Lane, *, at_ms: int) -> int:
    """Spend until the budget refuses, in steps of 100 ms; return how many calls were granted."""
    granted, now_ms = 0, at_ms
    while now_ms < at_ms + MINUTE_MS // 2:
        granted += budget.take(lane, now_ms=now_ms) == 0
        now_ms += 100
    return granted


def most_in_any(times_ms: list[int], window_ms: int) -> int:
    return max(
        sum(1 for other in times_ms if time <= other < time + window_ms) for time in times_ms
    )


def test_no_more_than_the_minutes_calls_are_granted(settled: CallBudget) -> None:
    granted = spend_all(settled, Lane.INTERACTIVE, at_ms=SETTLED_MS)

    assert granted == 60


def test_no_more_than_the_seconds_calls_are_granted(settled: CallBudget) -> None:
    granted = [settled.take(Lane.INTERACTIVE, now_ms=SETTLED_MS) == 0 for _ in range(40)]

    assert sum(granted) == 30


def test_scheduled_calls_leave_a_third_of_the_minute_to_people(settled: CallBudget) -> None:
    scheduled = spend_all(settled, Lane.SCHEDULED, at_ms=SETTLED_MS)

    interactive = spend_all(settled, Lane.INTERACTIVE, at_ms=SETTLED_MS + 29_000)

    assert (scheduled, interactive) == (40, 20)


def test_backfill_leaves_two_thirds_of_the_minute(settled: CallBudget) -> None:
    assert spend_all(settled, Lane.BACKFILL, at_ms=SETTLED_MS) == 20


def test_the_wait_told_is_long_enough_and_not_too_long(settled: CallBudget) -> None:
    spend_all(settled, Lane.INTERACTIVE, at_ms=SETTLED_MS)
    now_ms = SETTLED_MS + 30_000

    asked = (settled.wait_s, settled.take, settled.wait_s)
    (wait_ms,) = {round(ask(Lane.INTERACTIVE, now_ms=now_ms) * 1000) for ask in asked}

    assert settled.take(Lane.INTERACTIVE, now_ms=now_ms + wait_ms - 1) > 0
    assert settled.take(Lane.INTERACTIVE, now_ms=now_ms + wait_ms) == 0


def test_after_a_flush_calls_are_a_second_apart_for_a_minute(
    make_budget: Callable[..., CallBudget],
) -> None:
    budget = make_budget()

    times_ms = [
        now_ms
        for now_ms in range(START_MS, START_MS + 30_000, 100)
        if budget.take(Lane.INTERACTIVE, now_ms=now_ms) == 0
    ]

    assert len(times_ms) == 30
    assert most_in_any(times_ms, 1000) == 1


def test_after_a_flush_a_large_budget_is_spread_as_evenly(
    make_budget: Callable[..., CallBudget],
) -> None:
    budget = make_budget(per_minute=6000)

    granted = sum(
        budget.take(Lane.INTERACTIVE, now_ms=now_ms) == 0
        for now_ms in range(START_MS, START_MS + 10_000, 10)
    )

    assert granted > 200


def test_an_hour_of_everybody_asking_never_exceeds_a_limit(
    make_budget: Callable[..., CallBudget],
) -> None:
    budget = make_budget()
    granted: dict[Lane, list[int]] = {lane: [] for lane in Lane}

    for now_ms in range(START_MS, START_MS + 60 * MINUTE_MS, 2500):
        for lane in reversed(Lane):
            if budget.take(lane, now_ms=now_ms) == 0:
                granted[lane].append(now_ms)

    all_ms = sorted(time for times in granted.values() for time in times)
    assert most_in_any(all_ms, MINUTE_MS) <= 60
    assert most_in_any(all_ms, 1000) <= 30
    assert len(granted[Lane.INTERACTIVE]) > 20 * 55


def test_many_processes_share_one_budget(make_budget: Callable[..., CallBudget]) -> None:
    budgets = [make_budget() for _ in range(4)]
    budgets[0].take(Lane.INTERACTIVE, now_ms=START_MS)
    with ThreadPoolExecutor(8) as pool:
        waits = list(
            pool.map(
                lambda n: budgets[n % 4].take(Lane.INTERACTIVE, now_ms=SETTLED_MS + n // 25 * 1200),
                range(200),
            )
        )

    assert waits.count(0.0) == 60


_SPEND = """
import sys, time
from infra import redis
from infra.sharing.budget import CallBudget, Lane, Limits
budget = CallBudget(redis.connect(sys.argv[1]), name="test", limits=Limits(60, 30))
granted = 0
# For a call of the next second nobody waits longer than one; for the next minute's, everybody.
while (wait_s := budget.take(Lane.INTERACTIVE)) < 2:
    granted += wait_s == 0
    time.sleep(min(wait_s, 0.01))
print(granted)
"""


def test_real_processes_share_one_budget_by_redis_own_clock(
    make_budget: Callable[..., CallBudget], valkey: Valkey, processes: Nursery
) -> None:
    budget = make_budget()
    budget.take(Lane.INTERACTIVE, now_ms=LONG_AGO_MS)
    children = [
        processes.start(f"spender{n}", [PYTHON, "-c", _SPEND, valkey.url(2)], cwd=ROOT)
        for n in range(4)
    ]
    eventually(lambda: not any(child.is_running for child in children), what="all have ended")

    granted = [int(child.log()) for child in children]

    assert sum(granted) == 60
    assert budget.look().left[Lane.INTERACTIVE] == 0


def test_people_are_never_starved_by_what_runs_in_the_background(settled: CallBudget) -> None:
    random = Random(4)
    waits_ms: list[int] = []
    granted_ms: list[int] = []
    due_ms = [SETTLED_MS + minute * MINUTE_MS + random.randrange(MINUTE_MS)
              for minute in range(20) for _ in range(15)]  # fmt: skip
    asking = sorted(due_ms)

    for now_ms in range(SETTLED_MS, SETTLED_MS + 20 * MINUTE_MS, 1000):
        while asking and asking[0] <= now_ms and settled.take(Lane.INTERACTIVE, now_ms=now_ms) == 0:
            waits_ms.append(now_ms - asking.pop(0))
            granted_ms.append(now_ms)
        granted_ms += [
            now_ms
            for lane in (Lane.SCHEDULED, Lane.BACKFILL)
            if settled.take(lane, now_ms=now_ms) == 0
        ]

    assert len(waits_ms) >= 299
    assert max(waits_ms) < 1000
    assert most_in_any(granted_ms, MINUTE_MS) <= 60


def test_what_is_left_is_told_by_lane(settled: CallBudget) -> None:
    for lane in (Lane.INTERACTIVE, Lane.SCHEDULED, Lane.SCHEDULED, Lane.BACKFILL):
        settled.take(lane, now_ms=SETTLED_MS)
    settled.count("ok")

    spending = settled.look(now_ms=SETTLED_MS + 1)

    assert spending.left == {Lane.INTERACTIVE: 56, Lane.SCHEDULED: 36, Lane.BACKFILL: 16}
    assert spending.in_window == {Lane.INTERACTIVE: 1, Lane.SCHEDULED: 2, Lane.BACKFILL: 1}
    assert spending.granted[Lane.INTERACTIVE] == 2
    assert spending.answered == {"ok": 1}
    assert (spending.paused_s, spending.reason) == (0, None)


def test_a_pause_that_the_provider_asks_for_is_kept_and_only_grows(settled: CallBudget) -> None:
    settled.pause(told_s=100, reason="rate_limited", now_ms=SETTLED_MS)
    settled.pause(told_s=5, now_ms=SETTLED_MS)
    settled.pause(now_ms=SETTLED_MS)

    spending = settled.look(now_ms=SETTLED_MS + 1000)

    assert (spending.paused_s, spending.reason) == (99, "rate_limited")
    assert settled.take(Lane.INTERACTIVE, now_ms=SETTLED_MS + 99_999) > 0
    assert settled.take(Lane.INTERACTIVE, now_ms=SETTLED_MS + 100_000) == 0


def test_a_pause_stops_every_lane_and_ends(settled: CallBudget) -> None:
    paused_s = settled.pause(now_ms=SETTLED_MS)

    assert paused_s == 10
    assert settled.take(Lane.INTERACTIVE, now_ms=SETTLED_MS + 9_999) > 0
    assert settled.take(Lane.INTERACTIVE, now_ms=SETTLED_MS + 10_000) == 0


def test_pauses_in_a_row_grow_up_to_a_minute(settled: CallBudget) -> None:
    paused, now_ms = [], SETTLED_MS
    for _ in range(5):
        paused.append(settled.pause(now_ms=now_ms))
        now_ms += int(paused[-1] * 1000) + 1

    assert paused == [10, 20, 40, 60, 60]


def test_a_pause_during_a_pause_changes_nothing(settled: CallBudget) -> None:
    settled.pause(now_ms=SETTLED_MS)

    assert settled.pause(now_ms=SETTLED_MS + 4000) == 6


def test_a_clock_set_back_does_not_stop_calls_for_long(settled: CallBudget) -> None:
    settled.take(Lane.INTERACTIVE, now_ms=SETTLED_MS)

    wait_s = settled.take(Lane.INTERACTIVE, now_ms=SETTLED_MS - 3_600_000)

    assert wait_s == 0


def test_by_redis_own_clock_a_call_is_granted(settled: CallBudget) -> None:
    assert settled.take(Lane.INTERACTIVE) == 0


def test_without_redis_nothing_is_granted(
    make_budget: Callable[..., CallBudget], valkey: Valkey
) -> None:
    budget = make_budget()
    valkey.kill()

    with pytest.raises(RedisDown):
        budget.take(Lane.INTERACTIVE)
