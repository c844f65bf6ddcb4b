"""Prometheus metrics: those of this process, and those that are read when somebody asks.

Several processes behind one port (`uvicorn --workers`) share what they count in the folder that
`PROMETHEUS_MULTIPROC_DIR` names, which prometheus_client reads.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

bells_rung = Counter("tradepost_bells_rung_total", "Messages sent to wake workers", ["task"])
bells_failed = Counter(
    "tradepost_bells_failed_total", "Bells that did not ring; the sweep does their work", ["task"]
)
consumer_handled = Counter(
    "tradepost_consumer_handled_total", "Events a group has handled", ["group", "topic"]
)
consumer_failed = Counter(
    "tradepost_consumer_failed_total", "Attempts at an event that failed", ["group", "topic"]
)
consumer_dead_letters = Counter(
    "tradepost_consumer_dead_letters_total", "Events put aside", ["group", "topic"]
)
consumer_lag = Gauge(
    "tradepost_consumer_lag", "Events on the stream that are not handled yet", ["group", "topic"]
)


def expose() -> bytes:
    """Give all metrics as text; those of all processes of this port, if they share a folder."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(_Joined())
    return generate_latest(REGISTRY)


@contextmanager
def exported(collect: Callable[[], Iterator[Metric]]) -> Iterator[None]:
    """Let metrics that are read when asked for be among the others while the body runs."""
    collector = _Read(collect)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


class _Read(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: registering must not wait for a server that is away."""
        return []

    def collect(self) -> Iterator[Metric]:
        return self._collect()


class _Joined(CollectorRegistry):
    """What all processes have counted, and what this one reads."""

    def collect(self) -> Iterator[Metric]:
        together = MultiProcessCollector(None)  # type: ignore[no-untyped-call] # it has no types
        shared: dict[str, Metric] = {it.name: it for it in together.collect()}  # type: ignore[no-untyped-call] # as above
        yield from shared.values()
        yield from (metric for metric in REGISTRY.collect() if metric.name not in shared)
