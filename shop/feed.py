"""The supplier's product feed: fetched with limits, and believed only where it makes sense."""

import time
from decimal import Decimal
from typing import Any

import httpx
import orjson

from infra.errors import Transient
from shop import money
from shop.products import Draft

TIMEOUT_S = 10.0
MOST_BYTES = 20_000_000


class FeedUnusable(Transient):
    """The feed cannot be reached, or what it sent cannot be believed; nothing was changed."""

    code = "feed_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The product feed cannot be used: {reason}.", retry_after_s=10)


def fetch(url: str, *, currency: str, timeout_s: float = TIMEOUT_S) -> dict[str, Draft]:
    """Read the feed: catalogue fields by the supplier's id, in the supplier's order.

    Raises:
        FeedUnusable: it cannot be reached, is too large or slow, is empty, or an item makes no
            sense.
    """
    try:
        items = orjson.loads(_read(url, timeout_s))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
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


def _read(url: str, timeout_s: float) -> bytes:
    """Read the answer piece by piece, so that an endless one costs no more than the limits."""
    body = bytearray()
    ends_at = time.monotonic() + timeout_s
    timeout = httpx.Timeout(timeout_s, connect=min(3.0, timeout_s))
    with (
        httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False) as http,
        http.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise FeedUnusable(f"it answered {answer.status_code}")
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise FeedUnusable(f"it is larger than {MOST_BYTES} bytes")
            if time.monotonic() > ends_at:
                raise FeedUnusable(f"it takes longer than {timeout_s:g} seconds")
    return bytes(body)


def _parse(item: Any, currency: str) -> tuple[str, Draft]:  # noqa: ANN401 - outside data
    try:
        price = _price(item["price"])
        draft = Draft(
            name=_name(item["title"], 300),
            price_minor=price,
            currency=currency,
            description=_text(item.get("description", ""), 20_000),
            category=_text(item.get("category", ""), 120),
            image=_text(item.get("image", ""), 1000),
        )
        return _id(item["id"]), draft
    except (KeyError, TypeError, ValueError):
        raise FeedUnusable("an item has no sensible id, title or price") from None


def _id(value: object) -> str:
    """Read a supplier's id; one that had to be cut could be another's."""
    text = _name(value if isinstance(value, str) else str(_number(value)), 65)
    if len(text) > 64:  # noqa: PLR2004 - what the column holds
        raise ValueError(text)
    return text


def _price(value: object) -> int:
    price = money.to_minor(Decimal(str(_number(value))))
    if not 0 <= price < money.MAX_MINOR:
        raise ValueError(price)
    return price


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return value


def _name(value: object, most: int) -> str:
    if text := _text(value, most):
        return text
    raise ValueError(value)


def _text(value: object, most: int) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value.strip()[:most]
