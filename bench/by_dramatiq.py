"""Dramatiq: an actor for each order, on Redis, with the retries and middleware of its defaults."""

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench import one_order

_open: Any = RedisBroker  # it declares no types
broker = _open(url=os.environ["BROKER_URL"])
dramatiq.set_broker(broker)

pay = dramatiq.actor(actor_name="pay", queue_name="by_dramatiq")(one_order.pay)
