"""Prometheus metrics of this process."""

from prometheus_client import Counter

bells_rung = Counter("tradepost_bells_rung_total", "Messages sent to wake workers", ["task"])
bells_failed = Counter(
    "tradepost_bells_failed_total", "Bells that did not ring; the sweep does their work", ["task"]
)
