"""Ringing: a thousand rings are one message, and a broker that is away is no reason to fail."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from infra.bells import LIFE_S
from tests.support.fleet import Fleet
from tests.support.forks import Forks
from tests.support.processes import Nursery, eventually
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey
from tests.workers.conftest import PlaceOrder

Ring = Callable[..., float]
RARELY_S = 0.1  # as the ringer has it


@pytest.fixture
def env(valkey: Valkey) -> dict[str, str]:
    return {"BROKER_URL": valkey.url(0), "CACHE_URL": valkey.url(2)}


@pytest.fixture
def ring(forks: Forks, env: dict[str, str]) -> Ring:
    """Ring so often from a process of its own; tell how long the rings took."""

    def ring(count: int = 1, *how: str, **settings: str) -> float:
        done = forks.run("tests.workers.ringer", str(count), *how, env={**env, **settings})
        assert done.returncode == 0, done.stderr
        return float(done.stdout.splitlines()[-1])  # below what is logged

    return ring


def test_thousand_rings_are_one_message(ring: Ring, broker: "redis.Redis") -> None:
    took_s = ring(1000, "patient")

    assert 1 <= broker.llen("payments") <= 1 + took_s / LIFE_S


def test_ring_after_somebody_came_is_a_new_message(
    ring: Ring, broker: "redis.Redis", cache: "redis.Redis"
) -> None:
    ring(1, "patient")
    cache.delete("bell:payments.settle")

    ring(1, "patient")

    assert broker.llen("payments") == 2


def test_broker_away_is_no_reason_to_fail_or_to_wait(ring: Ring, valkey: Valkey) -> None:
    valkey.kill()

    assert ring(1000) < 20


def test_frozen_broker_costs_the_caller_its_budget_and_no_more(ring: Ring, valkey: Valkey) -> None:
    valkey.freeze()

    took_s = ring(100)

    valkey.thaw()
    assert took_s < 20  # each for itself would wait for 30


def test_rings_of_who_answers_people_are_one_message_too(ring: Ring, broker: "redis.Redis") -> None:
    took_s = ring(1000, "beside", "patient")

    assert 1 <= broker.llen("payments") <= 1 + took_s / LIFE_S


def test_what_nobody_waits_for_is_rung_seldom_and_in_the_end(
    ring: Ring, broker: "redis.Redis"
) -> None:
    took_s = ring(30, "beside", "in_time", "patient")

    assert 1 < broker.llen("payments") <= took_s / RARELY_S + 2


def test_who_answers_people_does_not_wait_for_a_frozen_broker(
    env: dict[str, str],
    forks: Forks,
    processes: Nursery,
    valkey: Valkey,
    broker: "redis.Redis",
) -> None:
    words = ("tests.workers.ringer", "100", "beside", "patient")
    valkey.freeze()

    ringer = processes.start_by(
        lambda log: forks.start(*words, env=env, out=log, err=log), "ringer"
    )
    eventually(lambda: "rung in" in ringer.log())

    valkey.thaw()
    assert ringer.wait() == 0
    assert broker.llen("payments") == 1


def test_broker_without_memory_is_no_reason_to_fail(ring: Ring, broker: "redis.Redis") -> None:
    broker.config_set("maxmemory", 1)

    ring(10)


def test_queue_without_memory_is_no_reason_to_fail(
    ring: Ring, processes: Nursery, tmp_path: Path
) -> None:
    full = Valkey(processes, tmp_path)
    full.start()
    with full.client() as client:
        client.config_set("maxmemory", 1)

    ring(10, BROKER_URL=full.url())


def test_due_payment_is_found_by_the_sweep_also_when_its_bell_was_lost(
    fleet: Fleet, sandbox: Sandbox, cache: "redis.Redis", place_order: PlaceOrder
) -> None:
    fleet.worker(("payments",), wait=False)
    fleet.beat()

    never_rung = place_order()
    eventually(lambda: sandbox.ledger().charges_of(never_rung))
    cache.set("bell:payments.settle", 1, ex=5)
    bell_lost = place_order()

    # The mark of the lost bell fades after five seconds, and beat ticks every second.
    eventually(lambda: sandbox.ledger().charges_of(bell_lost))
