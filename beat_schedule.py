"""What beat rings, and how often. Data only.

Every entry is a sweep: it finds what a lost message left behind. A surplus tick finds nothing due
and costs a query, so no entry expires and any number of beats may tick.
"""

beat_schedule = {
    "settle due payments": {"task": "payments.settle", "schedule": 1.0},
    "fulfil paid orders": {"task": "orders.fulfil", "schedule": 1.0},
    "settle due refunds": {"task": "refunds.settle", "schedule": 2.0},
    "end unpaid orders": {"task": "orders.expire", "schedule": 5.0},
    "let old webhooks go": {"task": "payments.forget_webhooks", "schedule": 600.0},
    "reconcile yesterday": {"task": "payments.reconcile", "schedule": 60.0},
    "publish committed events": {"task": "events.publish", "schedule": 1.0},
    "cut streams to size": {"task": "events.trim", "schedule": 30.0},
    "let old events go": {"task": "events.prune", "schedule": 60.0},
    "run requested syncs": {"task": "products.sync", "schedule": 2.0},
    "refresh the watchlist": {"task": "market.refresh_watchlist", "schedule": 10.0},
    "roll quotes up into bars": {"task": "market.roll_up", "schedule": 5.0},
    "let old quotes go": {"task": "market.prune", "schedule": 60.0},
    "refresh what was asked for": {"task": "market.refresh", "schedule": 2.0},
    "tidy the history of tasks": {"task": "tasks.tidy", "schedule": 60.0},
    "a canary for payments": {"task": "canary.payments", "schedule": 15.0},
    "a canary for products": {"task": "canary.products", "schedule": 15.0},
    "a canary for market": {"task": "canary.market", "schedule": 15.0},
    "a canary for events": {"task": "canary.events", "schedule": 15.0},
}
