from collections.abc import Iterator

import pytest
import redis as redis_py

from infra import redis
from infra.sharing.lease import Lease
from tests.support.processes import eventually
from tests.support.valkey import Valkey

KEY = "lease:the-right"
LIFE_S = 60
# Redis is asked again after a quarter of its life.
ASKED_AGAIN_S = LIFE_S / 4 + 1


class Clock:
    """A process's own clock, which goes when it is told to; it may go while Redis is asked."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.goes_by_s = 0.0

    def __call__(self) -> float:
        told = self.now_s
        self.now_s += self.goes_by_s
        return told


@pytest.fixture
def cache(valkey: Valkey) -> Iterator["redis_py.Redis"]:
    with valkey.client(2) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease_of(valkey: Valkey, clock: Clock | None = None) -> Lease:
    client = redis.connect(valkey.url(2))
    return Lease(client, name="the-right", life_s=LIFE_S, clock=clock or Clock())


def test_one_of_two_holds_it(valkey: Valkey) -> None:
    first, second = lease_of(valkey), lease_of(valkey)

    held = [first.hold(), second.hold(), first.hold()]

    assert held == [True, False, True]


def test_what_is_released_can_be_had_at_once(valkey: Valkey) -> None:
    first, second = lease_of(valkey), lease_of(valkey)
    first.hold()

    first.release()

    assert second.hold()


def test_release_of_another_s_lease_changes_nothing(valkey: Valkey) -> None:
    first, second = lease_of(valkey), lease_of(valkey)
    first.hold()
    second.hold()

    second.release()

    assert not lease_of(valkey).hold()


def test_it_runs_out_when_it_is_not_kept(
    valkey: Valkey, cache: "redis_py.Redis", clock: Clock
) -> None:
    first = lease_of(valkey, clock)
    first.hold()
    lives_ms = cache.pttl(KEY)

    cache.pexpire(KEY, 1)

    assert 0 < lives_ms <= LIFE_S * 1000
    eventually(lambda: lease_of(valkey).hold())
    clock.now_s += ASKED_AGAIN_S
    assert not first.hold()


def test_it_is_kept_while_it_is_asked_for(
    valkey: Valkey, cache: "redis_py.Redis", clock: Clock
) -> None:
    first, second = lease_of(valkey, clock), lease_of(valkey)
    first.hold()
    cache.pexpire(KEY, LIFE_S * 500)

    clock.now_s += ASKED_AGAIN_S

    assert first.hold()
    assert cache.pttl(KEY) > LIFE_S * 500
    assert not second.hold()


def test_without_redis_it_is_ours_until_it_has_run_out(valkey: Valkey, clock: Clock) -> None:
    first = lease_of(valkey, clock)
    first.hold()
    valkey.kill()

    clock.now_s += ASKED_AGAIN_S

    assert first.hold()
    assert not lease_of(valkey).hold()
    clock.now_s += LIFE_S
    assert not first.hold()


def test_it_is_not_ours_when_it_ran_out_while_redis_was_asked_in_vain(
    valkey: Valkey, clock: Clock
) -> None:
    first = lease_of(valkey, clock)
    first.hold()
    valkey.kill()
    clock.now_s += ASKED_AGAIN_S

    clock.goes_by_s = LIFE_S

    assert not first.hold()
