"""The quick comparison: `make bench-quick`, some minutes. Plain Celery, and cached quotes."""

import sys

from bench import quotes, settle
from bench.report import Run, report

_RUNS: dict[str, Run] = {
    "settle": lambda peers: settle.run_instant(
        peers, ours=5000, theirs=1000, rounds=3, with_all=False
    ),
    "cached quote": lambda peers: quotes.run(peers, rounds=4, seconds=1.5),
}


if __name__ == "__main__":
    report("quick", _RUNS, sys.argv[1:])
