"""The provider's budget as metrics, read from Redis when asked for: it belongs to no process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.budget import Lane, Spending
from infra.refusals import Closed
from market.status import Provider

_PREFIX = "tradepost_finnhub"


class ProviderMetrics(Collector):
    """Calls left and made by lane, what became of them, the breaker, and what the plan lacks."""

    def __init__(self, look: Callable[[], Provider]) -> None:
        self._look = look

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: registering must not wait for a Redis that is away."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the figures; none at all while Redis cannot be reached."""
        provider = self._look()
        if provider.spending is not None:
            yield from _of_spending(provider.spending)
            yield _of_plan(provider.closed)


@contextmanager
def exported(look: Callable[[], Provider]) -> Iterator[None]:
    """Show the provider's metrics as long as the body runs."""
    collector = ProviderMetrics(look)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


def _of_spending(spending: Spending) -> Iterator[Metric]:
    left = GaugeMetricFamily(
        f"{_PREFIX}_calls_left", "Calls that a lane may still make in this minute", labels=["lane"]
    )
    recent = GaugeMetricFamily(
        f"{_PREFIX}_calls_last_minute", "Calls of the last minute", labels=["lane"]
    )
    made = CounterMetricFamily(f"{_PREFIX}_calls", "Calls made by all processes", labels=["lane"])
    for lane in Lane:
        left.add_metric([lane], spending.left[lane])
        recent.add_metric([lane], spending.in_window[lane])
        made.add_metric([lane], spending.granted[lane])
    answers = CounterMetricFamily(
        f"{_PREFIX}_answers", "What became of the calls", labels=["answer"]
    )
    for answer, count in spending.answered.items():
        answers.add_metric([answer], count)
    breaker = GaugeMetricFamily(
        f"{_PREFIX}_breaker_open", "1 while no calls are made because the provider wants none"
    )
    breaker.add_metric([], float(spending.paused_s > 0))
    yield from (left, recent, made, answers, breaker)


def _of_plan(closed: tuple[Closed, ...]) -> Metric:
    lacking = GaugeMetricFamily(
        f"{_PREFIX}_not_in_plan", "1 for what the key's plan was found to lack", labels=["what"]
    )
    for one in closed:
        lacking.add_metric([one.what], 1)
    return lacking
