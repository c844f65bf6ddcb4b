"""A key's budget: so many calls in any minute and in any second."""

import pytest

from sandbox.finnhub.limits import Allowance, KeyLimits
from sandbox.wire import Refusal


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spent(limits: KeyLimits, calls: int) -> int:
    for done in range(calls):
        try:
            limits.spend("key")
        except Refusal:
            return done
    return calls


def test_real_limits_are_the_default() -> None:
    assert Allowance() == Allowance(per_minute=60, per_second=30)


def test_thirty_calls_fit_into_a_second_and_sixty_into_a_minute(clock: Clock) -> None:
    limits = KeyLimits(Allowance(), clock=clock)

    first = spent(limits, 40)
    clock.now += 1.0
    second = spent(limits, 40)
    clock.now += 58.9
    third = spent(limits, 40)
    clock.now += 0.1
    fourth = spent(limits, 40)

    assert (first, second, third, fourth) == (30, 30, 0, 30)
    assert limits.refused == 4


def test_window_slides_instead_of_starting_anew(clock: Clock) -> None:
    limits = KeyLimits(Allowance(per_minute=2, per_second=None), clock=clock)
    spent(limits, 1)
    clock.now += 50
    spent(limits, 1)

    clock.now += 10
    allowed = spent(limits, 2)

    assert allowed == 1


def test_without_limits_everything_is_allowed(clock: Clock) -> None:
    limits = KeyLimits(Allowance(per_minute=None, per_second=None), clock=clock)

    assert spent(limits, 1000) == 1000
