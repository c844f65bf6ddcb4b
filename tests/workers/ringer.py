"""Ring for the settlement a number of times, and print how long that took.

`beside` by a thread; `in_time` so, and seldom: somebody comes for each ring at once.
"""

import sys
import time
from contextlib import nullcontext

from workers import deps
from workers.bells import ring, ring_in_time, ringing
from workers.payments import settle

APART_S = 0.1


def ask() -> None:
    if "in_time" not in sys.argv:
        ring(settle)
        return
    ring_in_time(settle, most_s=APART_S)
    time.sleep(APART_S / 10)
    deps.bells().clear(settle.name)


with ringing() if "beside" in sys.argv else nullcontext():
    began = time.monotonic()
    for _ in range(int(sys.argv[1])):
        ask()
    took_s = time.monotonic() - began
sys.stdout.write(f"{took_s}\n")
