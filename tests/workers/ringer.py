"""Ring for the settlement a number of times; say so, and how long it took, as soon as it is done.

`beside` by a thread; `in_time` so, and seldom: somebody comes for each ring at once. `patient`
waits for Redis as long as a busy machine takes.
"""

import sys
import time
from contextlib import nullcontext

from infra.metrics import bells_rung
from workers import deps
from workers.bells import ring, ring_in_time, ringing
from workers.payments import settle

APART_S = 0.1
PATIENCE_S = 60


def ask() -> None:
    if "in_time" not in sys.argv:
        ring(settle)
        return
    ring_in_time(settle, most_s=APART_S)
    time.sleep(APART_S / 10)
    deps.bells().clear(settle.name)


def has_rung() -> bool:
    samples = (sample for metric in bells_rung.collect() for sample in metric.samples)
    return any(sample.value for sample in samples if sample.name.endswith("_total"))


if "patient" in sys.argv:
    deps.BELL_CONNECT_TIMEOUT_S = deps.BELL_TIMEOUT_S = PATIENCE_S
with ringing() if "beside" in sys.argv else nullcontext():
    began = time.monotonic()
    ask()
    while "in_time" in sys.argv and not has_rung():
        time.sleep(APART_S / 10)  # whoever comes for a ring comes after it
    for _ in range(int(sys.argv[1]) - 1):
        ask()
    sys.stdout.write(f"rung in {time.monotonic() - began}\n")
    sys.stdout.flush()
sys.stdout.write(f"{time.monotonic() - began}\n")
