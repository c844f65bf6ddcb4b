"""The Celery application: settings from `celeryconfig.py`, the schedule from `beat_schedule.py`."""

import os

from celery import Celery, signals

import beat_schedule
from infra import heap, logs
from infra.process import die_with_parent
from workers import deps, heartbeat, tasks, transport, watch

API_TIMEOUTS_S = {"socket_connect_timeout": 0.3, "socket_timeout": 0.5}

_PARENT = os.getpid()

app = Celery("tradepost")
app.config_from_object("celeryconfig")
app.conf.beat_schedule = beat_schedule.beat_schedule
# A promise, kept at first use: an import must not fail over a setting that is wrong.
app.add_defaults(lambda: {"broker_url": deps.settings().broker})
heartbeat.install(app)
tasks.install()
watch.install(app)
transport.install()


def hurry_for_requests() -> None:
    """Shorten the broker's time-outs in a process that answers people."""
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **API_TIMEOUTS_S}


@signals.setup_logging.connect
def _configure_logs(**_kwargs: object) -> None:
    logs.configure(deps.settings(), service="worker")


@signals.worker_process_init.connect
def _start_child(**_kwargs: object) -> None:
    # A pool child outlives a parent that is killed with -9, unless the kernel is told otherwise;
    # and what the parent had open must not be shared across the fork.
    die_with_parent(_PARENT)
    deps.forget()
    heap.set_aside()


@signals.worker_ready.connect
def _settle_down(**_kwargs: object) -> None:
    # The parent hands out what the children do: while it looks for garbage, none of them has work.
    heap.set_aside()
