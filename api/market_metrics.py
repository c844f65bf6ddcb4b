"""The provider's budget and websocket as metrics, read from Redis: they belong to no process."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from infra.redis import RedisDown
from infra.sharing.budget import Lane, Spending
from infra.sharing.refusals import Closed
from market.status import Provider
from market.stream_watch import StreamState

_PREFIX = "tradepost_finnhub"


def collect(
    look: Callable[[], Provider], read_stream: Callable[[], StreamState]
) -> Iterator[Metric]:
    """Tell calls, the breaker, what the plan lacks, and trades; nothing while Redis is away."""
    provider = look()
    if provider.spending is None:
        return
    yield from _of_spending(provider.spending)
    yield _of_plan(provider.closed)
    try:
        stream = read_stream()
    except RedisDown:
        return
    yield from _of_stream(stream)


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


def _of_stream(stream: StreamState) -> Iterator[Metric]:
    connected = GaugeMetricFamily(
        f"{_PREFIX}_stream_connected", "1 while a process hears trades; without any, no figure"
    )
    if stream.is_connected is not None:
        connected.add_metric([], float(stream.is_connected))
    yield connected
    for name, about, count in (
        (
            "connections",
            "Connections opened: one, and the reconnects",
            stream.connections,
        ),
        ("messages", "Messages that came over them", stream.messages),
        ("trades", "Trades that came over them", stream.trades),
    ):
        yield CounterMetricFamily(f"{_PREFIX}_stream_{name}", about, value=count)
