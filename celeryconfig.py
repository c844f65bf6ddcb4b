"""Celery's settings, each with its reason. Data only: addresses come from `Settings`."""

from kombu import Queue

# A typo in a queue's name is an error, not a queue that nobody reads.
task_queues = (Queue("payments"), Queue("products"), Queue("market"), Queue("events"))
task_default_queue = "payments"
task_create_missing_queues = False

include = (
    "workers.payments",
    "workers.orders",
    "workers.refunds",
    "workers.reconciliation",
    "workers.products",
    "workers.market",
    "workers.bars",
    "workers.events",
    "workers.tidying",
    "workers.canaries",
)

# Pickle would run the code of anyone who can write to the broker.
task_serializer = "json"
result_serializer = "json"
event_serializer = "json"
accept_content = ("json",)

# What became of the work stands in the database; results in Redis would only leak.
task_ignore_result = True
result_backend = None
task_store_errors_even_if_ignored = False

# A message is a doorbell. It may be delivered twice; a task that kills its child is not requeued
# without end, because its row stays due and the sweep rings again.
task_acks_late = True
task_reject_on_worker_lost = False
worker_prefetch_multiplier = 1

# Last resorts: a task gives itself five seconds, and every outside call has its own time-out.
task_soft_time_limit = 45
task_time_limit = 60

broker_transport_options = {
    "visibility_timeout": 1800,  # three times the longest hard time limit
    "unacked_restore_interval": 5,  # look for stranded messages every 5 s ...
    "unacked_restore_throttle": 1,  # ... on each look, not on every tenth
    "socket_connect_timeout": 2,  # the default waits for ever
    "socket_timeout": 10,
    "socket_keepalive": True,
    "health_check_interval": 10,  # a half-open link is noticed
}
broker_connection_retry = True
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # the default gives up after 100
broker_channel_error_retry = True  # READONLY and LOADING after a failover
broker_pool_limit = 10
# One quick repeat: the bell is best effort, a sweep rings again.
task_publish_retry = True
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0, "interval_max": 0.1}

worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_cancel_long_running_tasks_on_connection_loss = False  # killing a charge makes an unknown
worker_soft_shutdown_timeout = 0  # SIGTERM is the warm stop; the soft one sleeps its whole time
worker_enable_soft_shutdown_on_idle = False
worker_max_tasks_per_child = 1000  # bounds leaks
worker_max_memory_per_child = 300_000  # kilobytes
worker_send_task_events = True  # Flower watches them
task_send_sent_event = False

beat_scheduler = "workers.schedule:BellScheduler"
beat_max_loop_interval = 1  # also the rate of its heartbeat
beat_sync_every = 0
timezone = "UTC"
enable_utc = True
