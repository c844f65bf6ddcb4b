"""A relay in a process of its own, whose memory can be measured.

`python -m tests.support.drain DATABASE_URL REDIS_URL` publishes all there is, in runs of five
seconds as the task does, and prints what it took as JSON.
"""

import json
import re
import sys
import time
from pathlib import Path

from infra.db import open_database
from infra.events.relay import Relay, run
from infra.redis import connect
from infra.streams import Streams
from workers.topics import TOPICS

RUN_S = 5.0


def main(database_url: str, redis_url: str) -> None:
    """Drain everything; tell how many, how long, and the highest memory."""
    database = open_database(database_url)
    relay = Relay(database.sessions, Streams(connect(redis_url)), TOPICS, most=10_000_000)
    begun, added, left, longest_s = time.monotonic(), 0, True, 0.0
    while left:
        before = time.monotonic()
        done = run(relay, budget_s=RUN_S)
        added, left = added + done.added, done.left
        longest_s = max(longest_s, time.monotonic() - before)
    told = {
        "added": added,
        "seconds": time.monotonic() - begun,
        "longest_run_s": longest_s,
        "peak_mb": _peak_mb(),
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _peak_mb() -> float:
    # Not getrusage: what that tells includes the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
