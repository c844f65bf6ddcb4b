import pytest

from infra import redis
from infra.sharing.lease import Lease
from tests.support.processes import eventually
from tests.support.valkey import Valkey


def lease_of(valkey: Valkey, *, life_s: float = 10) -> Lease:
    return Lease(redis.connect(valkey.url(2), timeout_s=5), name="the-right", life_s=life_s)


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


def test_it_runs_out_when_it_is_not_kept(valkey: Valkey) -> None:
    lease_of(valkey, life_s=0.3).hold()
    second = lease_of(valkey, life_s=0.3)

    eventually(second.hold, 5)


def test_it_is_kept_while_it_is_asked_for(valkey: Valkey) -> None:
    first, second = lease_of(valkey, life_s=0.4), lease_of(valkey, life_s=0.4)
    first.hold()

    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: not first.hold() or second.hold(), 1.0)


def test_without_redis_it_is_ours_until_it_has_run_out(valkey: Valkey) -> None:
    first = lease_of(valkey, life_s=0.6)
    first.hold()

    valkey.kill()

    assert first.hold()
    eventually(lambda: not first.hold(), 5)
    assert not lease_of(valkey).hold()
