"""All comparisons: `make bench`. Name some to run only those.

`python -m bench.full settle "1,000,000 orders"`. Conditions stand in each module's first lines.
"""

import sys

from bench import accept, latency, quotes, relay, scale, settle, sse
from bench.report import Run, report

_RUNS: dict[str, Run] = {
    "settle": lambda peers: settle.run_instant(
        peers, ours=10_000, theirs=1000, rounds=3, with_all=True
    ),
    "settle at 50 ms": lambda peers: settle.run_slow(peers, ours=3000, theirs=200, rounds=3),
    "relay": lambda peers: relay.run(peers, rounds=5),
    "accept": lambda peers: accept.run(peers, rounds=4, seconds=4),
    "cached quote": lambda peers: quotes.run(peers, rounds=5, seconds=2),
    "accepted to paid, ms": lambda peers: latency.run(peers, seconds=10),
    "live events to 500": lambda peers: sse.run(peers, subscribers=500, rate=40, seconds=10),
    "1,000,000 orders": scale.run,
}


if __name__ == "__main__":
    report("full", _RUNS, sys.argv[1:])
