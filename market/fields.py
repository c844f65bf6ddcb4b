"""The parts of the provider's answers, each checked on its way in.

What cannot be true is a `BadAnswer`. Figures stay exact decimals.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from market.upstream import BadAnswer

LONGEST_TEXT = 20_000
LARGEST_ID = 2**63 - 1
# Together with a sign and a point they fit the column.
_MOST_WHOLE, _MOST_PLACES = 18, 20
_LATEST_T = 4_102_444_800  # the year 2100


def as_mapping(answer: object) -> Mapping[str, Any]:
    """Read an object.

    Raises:
        BadAnswer: it is none.
    """
    if not isinstance(answer, dict):
        raise BadAnswer("it is no object")
    return answer


def as_list(answer: object) -> Sequence[Any]:
    """Read a list.

    Raises:
        BadAnswer: it is none.
    """
    if not isinstance(answer, list):
        raise BadAnswer("it is no list")
    return answer


def price(fields: Mapping[str, Any], key: str) -> Decimal:
    """Read a figure that must be above zero.

    Raises:
        BadAnswer: it is not, or no number.
    """
    figure = decimal(fields.get(key))
    if figure is None or figure <= 0:
        raise BadAnswer("a figure is missing or not above zero")
    return figure


def decimal(value: object) -> Decimal | None:
    """Read a number that a column can hold; null is None.

    Raises:
        BadAnswer: it is no number, or out of all bounds.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadAnswer("a figure is no number")
    figure = Decimal(value)
    exponent = figure.as_tuple().exponent
    # A tiny exponent is a few letters here and a gigabyte of zeros where it is written out.
    if (
        not isinstance(exponent, int)
        or exponent < -_MOST_PLACES
        or figure.adjusted() >= _MOST_WHOLE
    ):
        raise BadAnswer("a figure is out of all bounds")
    return figure


def instant(value: object) -> datetime:
    """Read unix seconds.

    Raises:
        BadAnswer: they are none, or absurd.
    """
    return datetime.fromtimestamp(whole(value, largest=_LATEST_T), UTC)


def day(value: object) -> date:
    """Read a date.

    Raises:
        BadAnswer: it is none.
    """
    try:
        return date.fromisoformat(text(value))
    except ValueError:
        raise BadAnswer("a date is no date") from None


def whole(value: object, *, largest: int) -> int:
    """Read a whole number above zero.

    Raises:
        BadAnswer: it is none, or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= largest:
        raise BadAnswer("an id or a time is missing or absurd")
    return value


def text(value: object) -> str:
    """Read a text as any database takes it; what is no text is empty."""
    # Half a surrogate pair is valid JSON, but no database takes it.
    told = value if isinstance(value, str) else ""
    return told[:LONGEST_TEXT].encode(errors="replace").decode().replace("\x00", "")


def link(value: object) -> str:
    """Keep only what a browser may safely be sent to."""
    told = text(value)
    return told if told.lower().startswith(("http://", "https://")) else ""


def plain(value: object) -> object:
    """Read a value that holds no others.

    Raises:
        BadAnswer: it is an object or a list, or a figure out of bounds.
    """
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return decimal(value)
    raise BadAnswer("the profile is not flat")
