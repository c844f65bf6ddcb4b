"""Taskiq: a task for each order, on a Redis list. Our driver blocks, so it runs in threads."""

import os

from taskiq_redis import ListQueueBroker

from bench import one_order

broker = ListQueueBroker(url=os.environ["BROKER_URL"], queue_name="by_taskiq")

pay = broker.task(task_name="pay")(one_order.pay)
