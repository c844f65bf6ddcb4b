"""Settle due orders through Celery: ours in batches, plain Celery with a task for each order."""

import time
from collections.abc import Callable
from statistics import median

import sqlalchemy as sa
from celery import Celery

from bench.orders import count_unpaid, seed_due
from bench.servers import Peers
from infra.db import Database, open_database
from shop.payments import Payment
from tests.support.databases import speak_as_mysql
from tests.support.processes import eventually

ROUNDS = 3
_LIMIT_S = 120.0


def run(peers: Peers, *, ours: int, plain: int) -> dict[str, float]:
    """Measure both sides in turn; each gets as many orders as keep its rounds short.

    Returns orders a second of each side (medians of three rounds) and their ratio.
    """
    database = open_database(peers.env["DATABASE_URL"])
    speak_as_mysql(database.engine)
    celery = Celery("bench", broker=peers.env["BROKER_URL"])
    batched_rates, plain_rates = [], []
    for number in range(ROUNDS):
        with peers.worker("bench.batched", "payments", f"batched{number}"):
            batched_rates.append(_rate(database, ours, lambda: _ring(celery)))
        with peers.worker("bench.plain", "plain", f"plain{number}"):
            plain_rates.append(_rate(database, plain, lambda: _send_each(celery, database)))
    batched_rate, plain_rate = median(batched_rates), median(plain_rates)
    return {"batched": batched_rate, "plain": plain_rate, "ratio": batched_rate / plain_rate}


def _rate(database: Database, count: int, start: Callable[[], None]) -> float:
    """Seed, start, and count orders a second until the last one is settled."""
    seed_due(database, count)
    begun = time.perf_counter()
    start()
    eventually(lambda: count_unpaid(database) == 0, timeout_s=_LIMIT_S)
    return count / (time.perf_counter() - begun)


def _ring(celery: Celery) -> None:
    celery.send_task("bench.settle", queue="payments")


def _send_each(celery: Celery, database: Database) -> None:
    """Send a message for each due order; the worker begins with the first."""
    with database.reads() as session:
        due = session.scalars(sa.select(Payment.order_id).where(Payment.due_at.is_not(None)))
        order_ids = due.all()
    with celery.producer_pool.acquire() as producer:
        for order_id in order_ids:
            celery.send_task("plain.pay", (order_id,), queue="plain", producer=producer)
