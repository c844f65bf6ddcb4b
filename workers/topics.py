"""Every topic that has a stream, and every kind of event on them."""

from infra.events.kinds import Kind, by_type
from infra.jobs.task_events import KINDS as TASK_KINDS
from infra.jobs.task_events import TOPIC as TASKS
from market.events import KINDS as MARKET_KINDS
from market.events import TOPICS as MARKET_TOPICS
from shop.events import KINDS as SHOP_KINDS
from shop.events import TOPICS as SHOP_TOPICS

TOPICS: tuple[str, ...] = (*SHOP_TOPICS, *MARKET_TOPICS, TASKS)
KINDS: dict[str, Kind] = by_type((*SHOP_KINDS, *MARKET_KINDS, *TASK_KINDS))
