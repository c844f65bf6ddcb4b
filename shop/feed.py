"""The supplier's product feed: fetched with limits, and believed only where it makes sense."""

from decimal import Decimal, InvalidOperation
from typing import Any

import httpx
import orjson

from infra.errors import Transient
from shop import money
from shop.products import Draft

TIMEOUT_S = 10.0
MOST_BYTES = 20_000_000
_CHUNK = 65_536


class FeedUnusable(Transient):
    """The feed cannot be reached, or what it sent cannot be believed; nothing was changed."""

    code = "feed_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The product feed cannot be used: {reason}.", retry_after_s=10)


def fetch(url: str, *, currency: str) -> dict[str, Draft]:
    """Read the feed: catalogue fields by the supplier's id, in the supplier's order.

    Raises:
        FeedUnusable: it cannot be reached, is too large, is empty, or an item makes no sense.
    """
    try:
        items = orjson.loads(_read(url))
    except httpx.HTTPError as error:
        raise FeedUnusable(f"reading it failed ({type(error).__name__})") from None
    except orjson.JSONDecodeError:
        raise FeedUnusable("it is not JSON") from None
    if not isinstance(items, list) or not items:
        raise FeedUnusable("it lists no products")
    drafts = [_parse(item, currency) for item in items]
    by_id = dict(drafts)
    if len(by_id) != len(drafts):
        raise FeedUnusable("two items have the same id")
    return by_id


def _read(url: str) -> bytes:
    """Read the answer piece by piece, so that an endless one costs no more than the limit."""
    body = bytearray()
    timeout = httpx.Timeout(TIMEOUT_S, connect=3.0)
    with (
        httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False) as http,
        http.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise FeedUnusable(f"it answered {answer.status_code}")
        for chunk in answer.iter_bytes(_CHUNK):
            body += chunk
            if len(body) > MOST_BYTES:
                raise FeedUnusable(f"it is larger than {MOST_BYTES} bytes")
    return bytes(body)


def _parse(item: Any, currency: str) -> tuple[str, Draft]:  # noqa: ANN401 - outside data
    try:
        price = _price(item["price"])
        draft = Draft(
            name=_text(item["title"], 300),
            price_minor=price,
            currency=currency,
            description=_text(item.get("description", ""), 20_000),
            category=_text(item.get("category", ""), 120),
            image=_text(item.get("image", ""), 1000),
        )
        return _text(str(item["id"]), 64), draft
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation):
        raise FeedUnusable("an item has no sensible id, title or price") from None


def _price(value: object) -> int:
    price = money.to_minor(Decimal(str(value)))
    if not 0 <= price < money.MAX_MINOR:
        raise ValueError(price)
    return price


def _text(value: object, most: int) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value.strip()[:most]
