"""The `tradepost` command: start everything, and look after it by hand."""

import os

# Read before anything slow is imported: later, a parent killed meanwhile could not be told from one
# that never was.
STARTED_BY = os.getppid()
