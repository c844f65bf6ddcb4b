"""What processes share through Redis: budgets, leases, wants, signs of life, counters."""
