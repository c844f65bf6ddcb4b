"""Bells: one outstanding for each task, and none for ever."""

import time

import pytest
import redis

from infra.bells import LIFE_S, Bells
from infra.redis import Client, RedisDown
from tests.support.valkey import Valkey


@pytest.fixture
def bells(client: Client) -> Bells:
    return Bells(client)


def test_bell_is_rung_once_until_somebody_comes(bells: Bells) -> None:
    began = time.monotonic()
    claims = [bells.claim("payments.settle") for _ in range(1000)]
    took_s = time.monotonic() - began

    assert 1 <= claims.count({"payments.settle"}) <= 1 + took_s / LIFE_S


def test_bell_rings_anew_after_somebody_came(bells: Bells) -> None:
    bells.claim("payments.settle")

    bells.clear("payments.settle")

    assert bells.claim("payments.settle")


def test_each_task_has_its_own_bell(bells: Bells) -> None:
    bells.claim("payments.settle")

    assert bells.claim("payments.settle", "events.publish") == {"events.publish"}


def test_bell_that_nobody_heard_fades(bells: Bells, plain: "redis.Redis") -> None:
    bells.claim("payments.settle")

    assert 0 < plain.ttl("bell:payments.settle") <= LIFE_S


def test_without_redis_nobody_knows_whether_it_was_rung(bells: Bells, valkey: Valkey) -> None:
    valkey.kill()

    with pytest.raises(RedisDown):
        bells.claim("payments.settle")
    with pytest.raises(RedisDown):
        bells.clear("payments.settle")
