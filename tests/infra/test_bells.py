"""Bells: one outstanding for each task, and none for ever."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from infra.bells import LIFE_S, Bells, Rung
from infra.redis import Client, RedisDown
from tests.support.processes import eventually
from tests.support.valkey import Valkey

LONG_S = 8.0  # below the time-out of the client
SETTLE = Rung(frozenset({"payments.settle"}))
CALLED = Rung(frozenset(), frozenset({"payments.settle"}))


@pytest.fixture
def bells(client: Client) -> Bells:
    return Bells(client)


def test_bell_is_rung_once_until_somebody_comes(bells: Bells) -> None:
    began = time.monotonic()
    claims = [bells.claim("payments.settle") for _ in range(1000)]
    took_s = time.monotonic() - began

    assert 1 <= claims.count(SETTLE) <= 1 + took_s / LIFE_S


def test_bell_rings_anew_after_somebody_came(bells: Bells) -> None:
    bells.claim("payments.settle")

    bells.clear("payments.settle")

    assert bells.claim("payments.settle") == SETTLE


def test_each_task_has_its_own_bell(bells: Bells) -> None:
    bells.claim("payments.settle")

    assert bells.claim("payments.settle", "events.publish").to_send == {"events.publish"}


def test_bell_that_nobody_heard_fades(bells: Bells, plain: "redis.Redis") -> None:
    bells.claim("payments.settle")

    assert 0 < plain.ttl("bell:payments.settle") <= LIFE_S


def test_who_waits_is_called_in_place_of_a_message(bells: Bells, plain: "redis.Redis") -> None:
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(bells.wait, "payments.settle", wait_s=LONG_S)
        eventually(lambda: plain.exists("bell-waits:payments.settle"))

        assert bells.claim("payments.settle") == CALLED

        assert waiting.result() is True
    assert bells.claim("payments.settle") == SETTLE


def test_nobody_waits_beside_a_message_nor_beside_another(
    bells: Bells, plain: "redis.Redis"
) -> None:
    bells.claim("payments.settle")
    assert not bells.wait("payments.settle", wait_s=LONG_S)
    bells.clear("payments.settle")

    with ThreadPoolExecutor(1) as beside:
        beside.submit(bells.wait, "payments.settle", wait_s=LONG_S)
        eventually(lambda: plain.exists("bell-waits:payments.settle"))

        assert not bells.wait("payments.settle", wait_s=LONG_S)

        assert bells.claim("payments.settle") == CALLED


def test_who_was_killed_while_waiting_is_called_once(bells: Bells, plain: "redis.Redis") -> None:
    plain.set("bell-waits:payments.settle", 1)

    assert bells.claim("payments.settle") == CALLED
    assert bells.claim("payments.settle") == SETTLE
    assert 0 < plain.pttl("bell-calls:payments.settle") <= LIFE_S * 1000


def test_who_was_not_called_leaves_nothing_behind(bells: Bells, plain: "redis.Redis") -> None:
    assert not bells.wait("payments.settle", wait_s=0.01)

    assert not plain.exists("bell-waits:payments.settle", "bell-calls:payments.settle")


def test_without_redis_nobody_knows_whether_it_was_rung(bells: Bells, valkey: Valkey) -> None:
    valkey.kill()

    with pytest.raises(RedisDown):
        bells.claim("payments.settle")
    with pytest.raises(RedisDown):
        bells.clear("payments.settle")
