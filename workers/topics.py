"""Every topic that has a stream."""

from market.events import TOPICS as MARKET_TOPICS
from shop.events import TOPICS as SHOP_TOPICS

TOPICS: tuple[str, ...] = (*SHOP_TOPICS, *MARKET_TOPICS, "tasks")
