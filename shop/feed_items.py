"""One item of the supplier's feed, in the shape of FakeStore: believed only if it makes sense."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urljoin, urlsplit

from shop import money
from shop.products import Draft

_ID_LENGTH = 64
_NAME_LENGTH = 300
_DESCRIPTION_LENGTH = 20_000
_CATEGORY_LENGTH = 120
_IMAGE_LENGTH = 1000
# Controls and direction overrides: they forge log lines or show another text than the one stored.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A product as the supplier offers it; without a draft, the supplier has withdrawn it."""

    external_id: str
    draft: Draft | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that makes no sense, by its place in the feed (from 0), and why."""

    position: int
    external_id: str | None
    reason: str


class NoSense(ValueError):
    """An item cannot be what the supplier means; the text names the field."""


def parse(item: object, *, currency: str, base: str) -> Offer:
    """Read one item; `"deleted": true` is the only word that withdraws a product.

    `base` is the feed's own address, which an image's may be relative to.

    Raises:
        NoSense: a field is missing, or is not what it should be.
    """
    if not isinstance(item, Mapping):
        raise NoSense("it is not an object")
    external_id = find_id(item)
    if external_id is None:
        raise NoSense(f"id: neither a number nor a text of at most {_ID_LENGTH} characters")
    if _is_deleted(item):
        return Offer(external_id, None)
    draft = Draft(
        name=_name(item.get("title")),
        price_minor=_price(item.get("price")),
        currency=currency,
        description=_text(item, "description", _DESCRIPTION_LENGTH),
        category=_text(item, "category", _CATEGORY_LENGTH),
        image=_image(item, base),
    )
    return Offer(external_id, draft)


def find_id(item: object) -> str | None:
    """Find the supplier's id of an item; one that had to be cut could be another's."""
    value = item.get("id") if isinstance(item, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    return text if 0 < len(text) <= _ID_LENGTH and not _UNPRINTABLE.search(text) else None


def _is_deleted(item: Mapping[str, object]) -> bool:
    deleted = item.get("deleted", False)
    if not isinstance(deleted, bool):
        raise NoSense("deleted: neither true nor false")
    return deleted


def _name(value: object) -> str:
    name = " ".join(value.split()) if isinstance(value, str) else ""
    if not name or _UNPRINTABLE.search(name):
        raise NoSense("title: missing, empty, or not a text")
    return name[:_NAME_LENGTH]


def _price(value: object) -> int:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NoSense
        price = money.to_minor(Decimal(str(value)))
    except ValueError:
        raise NoSense("price: not an amount with at most two decimals") from None
    if not 0 <= price < money.MAX_MINOR:
        raise NoSense("price: below 0 or beyond all measure")
    return price


def _text(item: Mapping[str, object], field: str, most: int) -> str:
    value = item.get(field, "")
    if not isinstance(value, str) or _UNPRINTABLE.search(value):
        raise NoSense(f"{field}: not a text")
    return value.strip()[:most]


def _image(item: Mapping[str, object], base: str) -> str:
    """Make the address absolute; one that no browser should follow is left out.

    It is shown to everybody, so the feed's own login, if it has one, must not get into it.
    """
    given = _text(item, "image", _IMAGE_LENGTH + 1)
    if not given:
        return ""
    try:
        feed = urlsplit(base)
        image = urljoin(feed._replace(netloc=feed.netloc.rpartition("@")[2]).geturl(), given)
        parts = urlsplit(image)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        usable = False
    return image if usable and len(image) <= _IMAGE_LENGTH else ""
