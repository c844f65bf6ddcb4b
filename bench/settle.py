"""Settle due orders: ours in batches, the peers with a task for each order, a bare loop with none.

Each has two worker processes on the same database and Redis, writes the same rows and events by
the same driver, and gets as many orders as keep its rounds short. The clock runs from the first
message, or the bell, until no payment is due any more. Sides take turns; figures are medians.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import sqlalchemy as sa
from celery import Celery

from bench import bare, slow_gateway
from bench.orders import is_all_paid, seed_due
from bench.servers import PROCESSES, Peers, opened
from infra.db import Database
from shop.payments import Payment
from tests.support.processes import PYTHON, eventually, free_port, is_listening

_LIMIT_S = 120.0
_THREADS = "2"
Send = Callable[[Sequence[int]], None]


@dataclass(frozen=True, slots=True)
class Side:
    """One who settles: how its workers are started, how it is told, how many orders it gets.

    Before them it gets `warm_up` orders, so many that each of its processes has some.
    """

    name: str
    count: int
    command: Sequence[str]
    ready: str
    send: Send
    warm_up: int = 60


def run_instant(
    peers: Peers, *, ours: int, theirs: int, rounds: int, with_all: bool
) -> dict[str, float]:
    """Measure with a gateway that answers at once; return orders a second of each side."""
    celery = Celery("bench", broker=peers.env["BROKER_URL"])
    bell, two_claims = _bell(celery, "settle"), 1000
    sides = [
        Side("ours", ours, _celery("bench.ours", "payments"), "ready.", bell, two_claims),
        Side("celery", theirs, _celery("bench.by_celery"), "ready.", _messages(celery, "pay")),
    ]
    if with_all:
        sides += [_taskiq(peers, theirs), _dramatiq(peers, theirs)]
    with opened(peers) as database:
        return _take_turns(peers, database, sides, rounds, in_loop=ours if with_all else 0)


def run_slow(peers: Peers, *, ours: int, theirs: int, rounds: int) -> dict[str, float]:
    """Measure with a gateway that answers over HTTP after 50 ms; add what its latency allows."""
    port = free_port()
    peers.env[slow_gateway.URL] = f"http://127.0.0.1:{port}"
    celery = Celery("bench", broker=peers.env["BROKER_URL"])
    bell, messages = _bell(celery, "settle_slowly"), _messages(celery, "pay_slowly")
    sides = [
        Side("ours", ours, _celery("bench.ours", "payments"), "ready.", bell),
        Side("celery", theirs, _celery("bench.by_celery"), "ready.", messages),
    ]
    with peers.nursery.group(), opened(peers) as database:
        gateway = [PYTHON, "-m", "bench.slow_gateway", str(port), str(slow_gateway.LATENCY_S)]
        peers.nursery.start("slow-gateway", gateway).wait_until(lambda: is_listening(port))
        rates = _take_turns(peers, database, sides, rounds)
    rates["ceiling"] = PROCESSES * slow_gateway.IN_FLIGHT / slow_gateway.LATENCY_S
    return rates


def _take_turns(
    peers: Peers, database: Database, sides: Sequence[Side], rounds: int, *, in_loop: int = 0
) -> dict[str, float]:
    """Let every side have its rounds, and the bare loop its own with `in_loop` orders, if any."""
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for side in sides:
            with peers.worker(side.command, side.ready, side.name):
                _rate(database, replace(side, count=side.warm_up))
                rates[side.name].append(_rate(database, side))
        if in_loop:
            rates["bare loop"].append(_rate_of_loop(database, in_loop))
    return {name: median(measured) for name, measured in rates.items()}


def _rate(database: Database, side: Side) -> float:
    """Seed, tell, and count orders a second until the last one is settled."""
    seed_due(database, side.count)
    with database.reads() as session:
        order_ids = session.scalars(
            sa.select(Payment.order_id).where(Payment.due_at.is_not(None))
        ).all()
    begun = time.perf_counter()
    side.send(order_ids)
    eventually(lambda: is_all_paid(database), timeout_s=_LIMIT_S)
    return side.count / (time.perf_counter() - begun)


def _rate_of_loop(database: Database, count: int) -> float:
    seed_due(database, count)
    begun = time.perf_counter()
    bare.settle_all(database)
    return count / (time.perf_counter() - begun)


def _celery(application: str, queue: str = "by_celery") -> list[str]:
    return [
        *("celery", "-A", application, "worker", "-Q", queue, "-c", str(PROCESSES)),
        *("--loglevel=INFO", "--without-mingle", "--without-gossip"),
    ]


def _bell(celery: Celery, task: str) -> Send:
    def ring(_order_ids: Sequence[int]) -> None:
        celery.send_task(f"bench.{task}", queue="payments")

    return ring


def _messages(celery: Celery, task: str) -> Send:
    def send(order_ids: Sequence[int]) -> None:
        with celery.producer_pool.acquire() as producer:
            for order_id in order_ids:
                celery.send_task(
                    f"by_celery.{task}", (order_id,), queue="by_celery", producer=producer
                )

    return send


def _taskiq(peers: Peers, count: int) -> Side:
    def send(order_ids: Sequence[int]) -> None:
        asyncio.run(_send_by_taskiq(peers.env, order_ids))

    workers = ("--workers", str(PROCESSES), "--max-threadpool-threads", _THREADS)
    command = ["taskiq", "worker", "bench.by_taskiq:broker", *workers]
    return Side("taskiq", count, command, "Listening started.", send)


async def _send_by_taskiq(env: Mapping[str, str], order_ids: Sequence[int]) -> None:
    # The peers are installed for benchmarks alone.
    from taskiq.kicker import AsyncKicker  # noqa: PLC0415
    from taskiq_redis import ListQueueBroker  # noqa: PLC0415

    broker = ListQueueBroker(url=env["BROKER_URL"], queue_name="by_taskiq")
    await broker.startup()
    kicker: Any = AsyncKicker(task_name="pay", broker=broker, labels={})
    for order_id in order_ids:
        await kicker.kiq(order_id)
    await broker.shutdown()


def _dramatiq(peers: Peers, count: int) -> Side:
    from dramatiq import Message  # noqa: PLC0415 - as above
    from dramatiq.brokers.redis import RedisBroker  # noqa: PLC0415 - as above

    connect: Any = RedisBroker  # it declares no types
    broker = connect(url=peers.env["BROKER_URL"])
    broker.declare_queue("by_dramatiq")

    def send(order_ids: Sequence[int]) -> None:
        for order_id in order_ids:
            broker.enqueue(Message("by_dramatiq", "pay", args=(order_id,), kwargs={}, options={}))

    workers = ("--processes", str(PROCESSES), "--threads", _THREADS)
    command = ["dramatiq", "bench.by_dramatiq:broker", "--queues", "by_dramatiq", *workers]
    return Side("dramatiq", count, command, "is ready for action", send)
