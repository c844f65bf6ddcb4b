"""Tasks: their names and queues are a contract, and each has a sweep behind it."""

from typing import Any

import pytest

from workers.app import app

pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")

# A worker of another version must find the same names; a change here is a change for operators.
QUEUES = {
    "payments.settle": "payments",
    "payments.reconcile": "payments",
    "orders.fulfil": "payments",
    "orders.expire": "payments",
    "payments.forget_webhooks": "payments",
    "refunds.settle": "payments",
    "products.sync": "products",
    "events.publish": "events",
    "events.trim": "events",
    "events.prune": "events",
    "tasks.tidy": "events",
    "canary.payments": "payments",
    "canary.products": "products",
    "canary.market": "market",
    "canary.events": "events",
    "market.refresh": "market",
    "market.refresh_watchlist": "market",
    "market.roll_up": "market",
    "market.prune": "market",
}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}


def test_every_task_has_its_name_and_its_queue(tasks: dict[str, Any]) -> None:
    assert {name: task.queue for name, task in tasks.items()} == QUEUES


def test_every_queue_is_declared() -> None:
    assert {queue.name for queue in app.conf.task_queues} == set(QUEUES.values())


def test_every_task_has_a_sweep_behind_it() -> None:
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} == set(QUEUES)


def test_no_sweep_expires_or_brings_arguments() -> None:
    known = {key for entry in app.conf.beat_schedule.values() for key in entry}

    assert known == {"task", "schedule"}


def test_every_task_ends_long_before_its_message_is_delivered_again(tasks: dict[str, Any]) -> None:
    visible_s = app.conf.broker_transport_options["visibility_timeout"]

    assert max(task.time_limit for task in tasks.values()) * 3 <= visible_s
    assert all(task.soft_time_limit < task.time_limit for task in tasks.values())
