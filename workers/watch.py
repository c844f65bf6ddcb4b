"""A worker watches itself: one that is connected and takes nothing ends, and is started again.

After a reconnect a worker may be connected and no longer consume. It answers pings, so that nobody
notices. Here it looks whether messages wait in its queues while it is idle. One queue is its own,
into which it puts a canary from time to time: other workers on the same queues hide nothing.

Source: https://github.com/celery/celery/discussions/7276, /issues/8030, /issues/8091, 2026-11.
"""

import os
import signal
import time
from typing import Any

from celery import Celery, bootsteps, signals
from celery.worker import state
from kombu import Queue
from kombu.exceptions import OperationalError

from infra import redis
from infra.logs import log
from infra.redis import RedisDown
from infra.sharing.signs import read_depths
from workers import deps, heartbeat

LOOK_EVERY_S = 5.0
CANARY_EVERY_S = 15.0
STALLED_AFTER_S = 30.0
# A queue of a worker that is gone is forgotten by the broker.
_OWN_QUEUE_LIFE_S = 120
_PREFIX = "watch."
_EX_TEMPFAIL = 75  # as sysexits.h has it: trying again helps
_SHORT_S = {"socket_connect_timeout": 0.3, "socket_timeout": 0.5}


def install(app: Celery) -> None:
    """Make workers of this application watch themselves."""
    app.steps["worker"].add(_Watch)
    signals.celeryd_after_setup.connect(_add_own_queue)


def own_queue(worker: str) -> str:
    """Name the queue that only this worker consumes."""
    return f"{_PREFIX}{worker}"


def _add_own_queue(sender: str, instance: Any, **_kwargs: object) -> None:  # noqa: ANN401 - celery's worker
    name = own_queue(sender)
    instance.app.amqp.queues.select_add(
        Queue(name, routing_key=name, expires=_OWN_QUEUE_LIFE_S, durable=True)
    )


class _Watch(bootsteps.StartStopStep):
    """Looks every five seconds, on the worker's own timer."""

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def __init__(self, parent: Any, **kwargs: Any) -> None:  # noqa: ANN401 - celery's worker
        super().__init__(parent, **kwargs)
        self._entry: Any = None
        self._queues: tuple[str, ...] = ()
        self._broker: redis.Client | None = None
        self._link: Any = None
        self._sent_s = 0.0
        self._waiting_since_s: dict[str, float] = {}

    def start(self, parent: Any) -> None:  # noqa: ANN401 - celery's worker
        """Begin to look."""
        # As it was told at its start: a queue that it has forgotten since is what is looked for.
        self._queues = tuple(parent.app.amqp.queues.consume_from)
        signals.task_received.connect(self._heard)
        self._entry = parent.timer.call_repeatedly(LOOK_EVERY_S, self._look, (parent,))

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002 - celery's worker
        """Look no more: a worker that is being stopped takes nothing, and should not."""
        if self._entry is not None:
            self._entry.cancel()

    def _heard(self, request: Any, **_kwargs: object) -> None:  # noqa: ANN401 - celery's request
        self._waiting_since_s.pop(request.delivery_info.get("routing_key"), None)

    def _look(self, worker: Any) -> None:  # noqa: ANN401 - celery's worker
        deps.journal().flush()
        busy, children = len(state.active_requests), worker.pool.num_processes
        try:
            deps.presence().leave(
                worker.hostname,
                queues=[name for name in self._queues if not name.startswith(_PREFIX)],
                busy=busy,
                children=children,
                pid=os.getpid(),
            )
            self._send_canary(worker)
            depths = read_depths(self._client(), self._queues)
        except (RedisDown, OperationalError):
            self._waiting_since_s.clear()  # who cannot reach the broker is not to blame
            return
        if busy >= children:
            self._waiting_since_s.clear()  # it will come to them
            return
        self._judge({name for name, waiting in depths.items() if waiting.depth}, busy=busy)

    def _judge(self, waiting: set[str], *, busy: int) -> None:
        now_s = time.monotonic()
        self._waiting_since_s = {name: self._waiting_since_s.get(name, now_s) for name in waiting}
        stalled = [
            name
            for name, since_s in self._waiting_since_s.items()
            if now_s - since_s >= STALLED_AFTER_S
        ]
        if stalled:
            _end(stalled, busy=busy)

    def _send_canary(self, worker: Any) -> None:  # noqa: ANN401 - celery's worker
        now_s = time.monotonic()
        if now_s - self._sent_s < CANARY_EVERY_S:
            return
        if self._link is None:
            options = {**worker.app.conf.broker_transport_options, **_SHORT_S}
            self._link = worker.app.connection_for_write(transport_options=options)
        worker.app.send_task(
            f"canary.{self._queues[0]}", queue=own_queue(worker.hostname), connection=self._link
        )
        self._sent_s = now_s

    def _client(self) -> redis.Client:
        if self._broker is None:
            self._broker = redis.connect(
                deps.settings().broker, connect_timeout_s=0.3, timeout_s=0.5
            )
        return self._broker


def _end(stalled: list[str], *, busy: int) -> None:
    """End this worker, for whoever started it to start it again.

    What it has in hand is finished first; if that takes long, its heartbeat tells.
    """
    log.error("worker_consumes_nothing", queues=sorted(stalled), busy=busy)
    if not busy:
        os._exit(_EX_TEMPFAIL)
    heartbeat.fall_silent()
    os.kill(os.getpid(), signal.SIGTERM)
