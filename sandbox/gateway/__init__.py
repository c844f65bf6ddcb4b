"""A payment gateway with its own ledger on disk: charges, refunds, idempotency keys, webhooks."""
