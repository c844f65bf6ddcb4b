"""Ring for the settlement a number of times, and print how long that took; `beside` by a thread."""

import sys
import time
from contextlib import nullcontext

from workers.bells import ring, ringing
from workers.payments import settle

with ringing() if "beside" in sys.argv else nullcontext():
    began = time.monotonic()
    for _ in range(int(sys.argv[1])):
        ring(settle)
    took_s = time.monotonic() - began
sys.stdout.write(f"{took_s}\n")
