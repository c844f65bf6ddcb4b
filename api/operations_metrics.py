"""What an operator watches, read when Prometheus asks: queues, what is due, streams, tasks.

Most of it belongs to no process: every API gives the same figures, so take the maximum over them.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic

from fastapi import FastAPI
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from api.deps import Collaborators
from api.health import Memory, canary_ages_s, checks
from infra import clock
from infra.db import SERVER_ERRORS
from infra.errors import AppError
from infra.events import alarms, lag
from infra.events.fanout import Fanout
from infra.jobs import queues, tasks
from infra.metrics import exported
from infra.sharing import tally
from infra.streams import Streams
from shop import backlog, held
from workers import counters
from workers.queues import NAMES, Sources, consumers, find_consumption, measure_all
from workers.topics import TOPICS

Reader = Callable[[], Iterator[Metric]]
# After a scrape that met a server that is away, others need not wait for it too.
_REST_S = 5.0


@asynccontextmanager
async def exporting(app: FastAPI) -> AsyncIterator[None]:
    """Show these metrics while the application serves."""
    kept: Collaborators = app.state.collaborators
    app.state.health = memory = Memory()
    fanout: Fanout = app.state.fanout
    readers: tuple[Reader, ...] = (
        partial(_of_parts, kept, memory),
        partial(_of_queues, kept, memory),
        partial(_of_work, kept),
        partial(_of_streams, kept),
        partial(_of_runs, kept),
        partial(_of_process, kept, fanout),
    )
    with exported(partial(_collect, [_Careful(reader) for reader in readers])):
        yield


class _Careful:
    """Reads metrics; none while a server is away, which `tradepost_part_up` tells."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._not_before_s = 0.0

    def __call__(self) -> list[Metric]:
        if monotonic() < self._not_before_s:
            return []
        try:
            return list(self._reader())
        except (AppError, *SERVER_ERRORS):
            self._not_before_s = monotonic() + _REST_S
            return []


def _collect(readers: list[_Careful]) -> Iterator[Metric]:
    for reader in readers:
        yield from reader()


def _of_parts(kept: Collaborators, memory: Memory) -> Iterator[Metric]:
    up = _gauge("part_up", "1 for a part that can be used", "part")
    for name, check in checks(kept, memory).items():
        up.add_metric([name], float(check() is None))
    yield up


def _of_queues(kept: Collaborators, memory: Memory) -> Iterator[Metric]:
    known = find_consumption(Sources(kept.database.reads, kept.broker, kept.cache))
    if known is None:
        return
    depth = _gauge("queue_depth", "Messages that wait", "queue")
    oldest = _gauge("queue_oldest_message_age_seconds", "Age of the oldest that waits", "queue")
    workers = _gauge("queue_consumers", "Workers that consume the queue", "queue")
    silent = _gauge("canary_age_seconds", "Time since a canary came through", "queue")
    for name in NAMES:
        waiting = known.depths[name]
        depth.add_metric([name], waiting.depth)
        oldest.add_metric([name], waiting.oldest_age_s or 0.0)
        workers.add_metric([name], len(consumers(name, known.workers)))
    for name, age_s in canary_ages_s(known.canaries, memory):
        silent.add_metric([name], age_s)
    yield from (depth, oldest, workers, silent)


def _of_work(kept: Collaborators) -> Iterator[Metric]:
    with kept.database.reads() as session:
        now, pauses = clock.now(session), queues.list_pauses(session)
        due = measure_all(session)
        unknown, unsent = backlog.count_unknown(session), backlog.count_unsent(session)
        waiting, failed = held.count(session), tasks.count_failed(session)
    paused = _gauge("queue_paused", "1 for a queue that is paused", "queue")
    for name in NAMES:
        paused.add_metric([name], float(name in pauses))
    rows = _gauge("due_rows", "Rows that are due, at most 10000 of them", "task")
    oldest = _gauge("due_oldest_age_seconds", "Since when the oldest of them is due", "task")
    for item in due:
        age = now - item.oldest_at if item.oldest_at else None
        rows.add_metric([item.task], item.rows)
        oldest.add_metric([item.task], age.total_seconds() if age else 0.0)
    for_people = _gauge("payments_held", "Charges and refunds that wait for a person", "what")
    for what, count in waiting.items():
        for_people.add_metric([what], count)
    yield from (paused, rows, oldest, for_people)
    yield _single("payments_unknown", "Payments of which nobody knows the outcome", unknown)
    yield _single("payments_unsent", "Payments that the gateway would not take so far", unsent)
    yield _single("tasks_failed", "Failed tasks that wait for a person", failed)


def _of_streams(kept: Collaborators) -> Iterator[Metric]:
    with kept.database.reads() as session:
        found = lag.measure(session, Streams(kept.streams), TOPICS)
        sounded = alarms.list_alarms(session)
    behind = _gauge("relay_lag_events", "Committed events that are not on their stream", "topic")
    waits = _gauge("relay_lag_seconds", "For how long the first of them has waited", "topic")
    length = _gauge("stream_length", "Entries on the stream", "topic")
    for topic in found:
        behind.add_metric([topic.topic], topic.behind)
        waits.add_metric([topic.topic], topic.oldest_s)
        length.add_metric([topic.topic], topic.length)
    told = CounterMetricFamily(
        "tradepost_stream_alarms", "What happened to streams", labels=["topic", "kind"]
    )
    for alarm in sounded:
        told.add_metric([alarm.topic, alarm.kind], alarm.count)
    yield from (behind, waits, length, told)


def _of_runs(kept: Collaborators) -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "tradepost_task_runs", "Runs of tasks by all workers", labels=["task", "outcome"]
    )
    took = HistogramMetricFamily(
        "tradepost_task_duration_seconds", "How long they took", labels=["task"]
    )
    for task, runs in counters.sort(tally.read(kept.cache)):
        for outcome, count in runs.ended.items():
            ended.add_metric([task, outcome], count)
        below, buckets = 0.0, []
        for limit in (*counters.BUCKETS_S, float("inf")):
            below += runs.buckets.get(limit, 0.0)
            buckets.append(("+Inf" if limit == float("inf") else str(limit), below))
        took.add_metric([task], buckets, sum_value=runs.seconds)
    yield from (ended, took)


def _of_process(kept: Collaborators, fanout: Fanout) -> Iterator[Metric]:
    yield _single("event_streams_open", "Streams open in this process", fanout.open_count)
    pool = kept.database.pool_use()
    yield _single("database_pool_size", "Connections that this process may open", pool.size)
    yield _single("database_pool_in_use", "Connections in use in this process", pool.in_use)


def _gauge(name: str, about: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tradepost_{name}", about, labels=[label])


def _single(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tradepost_{name}", about, value=value)
