"""Plain Celery: a task for each order. The worker's settings are Celery's own."""

import os
from functools import cache

import redis
from celery import Celery, signals

from bench import one_order
from bench.slow_gateway import charge_over_http

app = Celery("by_celery", broker=os.environ.get("BROKER_URL"))
app.conf.update(task_ignore_result=True, task_default_queue="by_celery")


@signals.worker_process_init.connect
def _start_child(**_kwargs: object) -> None:
    one_order.database.cache_clear()


@app.task(name="by_celery.pay")
def pay(order_id: int) -> None:
    """Pay one order at the gateway that answers at once."""
    one_order.pay(order_id)


@app.task(name="by_celery.pay_slowly")
def pay_slowly(order_id: int) -> None:
    """Pay one order at the gateway that takes its time."""
    one_order.pay(order_id, charge=charge_over_http)


@app.task(name="by_celery.pay_with_word")
def pay_with_word(order_id: int) -> None:
    """Pay one order over HTTP, and tell whoever listens."""
    one_order.pay(order_id, charge=charge_over_http)
    _client().publish("paid", order_id)


@cache
def _client() -> "redis.Redis":
    return redis.Redis.from_url(os.environ["BROKER_URL"])
