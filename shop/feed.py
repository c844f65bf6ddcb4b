"""The supplier's product feed: fetched with limits, and believed only where it makes sense."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import orjson

from infra import outside
from infra.errors import Transient
from infra.http import Reply
from shop import feed_items
from shop.feed_items import NoSense, Offer, Refusal
from shop.feed_state import Validators

TIMEOUT_S = 10.0
MOST_BYTES = 20_000_000
# Of so many items one may make no sense; of a feed with more, none is believed.
ITEMS_FOR_ONE_REFUSED = 10
_UNKNOWN = Validators()


class FeedUnusable(Transient):
    """The feed cannot be reached, or what it sent cannot be believed; nothing was changed."""

    code = "feed_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The product feed cannot be used: {reason}.", retry_after_s=10)


@dataclass(frozen=True, slots=True)
class Feed:
    """What the supplier offers, in the supplier's order, and the items that make no sense."""

    offers: Sequence[Offer]
    refusals: Sequence[Refusal]
    validators: Validators


def fetch(
    url: str,
    *,
    currency: str,
    known: Validators = _UNKNOWN,
    timeout_s: float = TIMEOUT_S,
    is_stand_in: bool = False,
) -> Feed | None:
    """Read the feed; None if it is still what is `known`.

    Only the stand-in may stand on this machine or network.

    Raises:
        FeedUnusable: it cannot be reached, is too large or slow, is empty, or too much of it
            makes no sense.
    """
    reply = _read(url, known, timeout_s, is_stand_in=is_stand_in)
    if reply.status == httpx.codes.NOT_MODIFIED and known != _UNKNOWN:
        return None
    if reply.status != httpx.codes.OK:
        raise FeedUnusable(f"it answered {reply.status}")
    try:
        items = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise FeedUnusable("it is not JSON") from None
    if not isinstance(items, list) or not items:
        raise FeedUnusable("it lists no products")
    answered = Validators(reply.headers.get("etag"), reply.headers.get("last-modified"))
    return _judge(items, url, currency, answered)


def _read(url: str, known: Validators, timeout_s: float, *, is_stand_in: bool) -> Reply:
    headers = {"Accept": "application/json"}
    if known.etag:
        headers["If-None-Match"] = known.etag
    if known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    try:
        return outside.read(
            url,
            headers=headers,
            timeout_s=timeout_s,
            limit_bytes=MOST_BYTES,
            may_be_ours=is_stand_in,
        )
    except outside.NotPublic:
        raise FeedUnusable("its address is not one of the public internet") from None
    except outside.TooLarge:
        raise FeedUnusable(f"it is larger than {MOST_BYTES} bytes") from None
    except outside.TooSlow:
        raise FeedUnusable(f"it takes longer than {timeout_s:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FeedUnusable(f"reading it failed ({type(error).__name__})") from None


def _judge(items: Sequence[object], url: str, currency: str, answered: Validators) -> Feed:
    offers: dict[str, Offer] = {}
    refusals: list[Refusal] = []
    for position, item in enumerate(items):
        try:
            offer = feed_items.parse(item, currency=currency, base=url)
            if offer.external_id in offers:
                raise NoSense("id: another item has the same id")  # noqa: TRY301 - one way to refuse
            offers[offer.external_id] = offer
        except NoSense as error:
            refusals.append(Refusal(position, feed_items.find_id(item), str(error)))
    if len(refusals) * ITEMS_FOR_ONE_REFUSED > len(items):
        raise FeedUnusable(
            f"{len(refusals)} of its {len(items)} items make no sense; "
            f"the first: {refusals[0].reason}"
        )
    return Feed(list(offers.values()), refusals, answered)
