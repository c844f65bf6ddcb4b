"""Ring for the settlement a number of times, and print how long that took."""

import sys
import time

from workers.bells import ring
from workers.payments import settle

began = time.monotonic()
for _ in range(int(sys.argv[1])):
    ring(settle)
sys.stdout.write(f"{time.monotonic() - began}\n")
