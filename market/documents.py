"""How market data look to the outside: figures with all their digits, instants as UTC text."""

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple

import orjson

from market.sessions import Session

Document = dict[str, object]

# They change though nothing has happened: two answers that differ only in them are the same.
_MOVING = ("age_s", "fetched_at", "at")


class Ready(NamedTuple):
    """An answer as JSON; `tag` names its content and `confirmed_s_ago` its age.

    A tuple, because one is made for every answer from memory, and tuples are made fastest.
    """

    body: bytes
    tag: str
    confirmed_s_ago: int


def number(value: Decimal | None) -> orjson.Fragment | None:
    """Turn a decimal into a JSON number with the same digits, which a float may not have."""
    return None if value is None else orjson.Fragment(format(value, "f"))


def instant(value: datetime) -> str:
    """Turn an aware UTC instant into RFC 3339 text."""
    return value.isoformat().replace("+00:00", "Z")


def parse_instant(text: object) -> datetime:
    """Read what `instant` wrote."""
    return datetime.fromisoformat(str(text))


def show(document: Document, session: Session, *, stale: bool = False) -> Document:
    """Add to a public form what depends on the moment: its age in seconds and the session.

    What could not be refreshed is called `stored`: nobody vouches that it still holds.
    """
    age_s = int((datetime.now(UTC) - parse_instant(document["as_of"])).total_seconds())
    return {
        **document,
        "source": "stored" if stale else document["source"],
        "session": session,
        "stale": stale,
        "age_s": max(0, age_s),
    }


def pack(shown: Document) -> Ready:
    """Make what `show` made ready to be sent."""
    return Ready(orjson.dumps(shown), tag_of(shown), confirmed_s_ago(shown))


def pack_own(content: object, *, confirmed_s_ago: int = 0) -> Ready:
    """Make ready what is ours to tell, whoever confirmed it."""
    return Ready(orjson.dumps(content), tag_of(content), confirmed_s_ago)


def tag_of(shown: object) -> str:
    """Name the content of an answer: the same for two that say the same."""
    if isinstance(shown, dict):
        shown = {key: value for key, value in shown.items() if key not in _MOVING}
    return blake2b(orjson.dumps(shown), digest_size=9).hexdigest()


def confirmed_s_ago(document: Document) -> int:
    """Return how many seconds ago the provider confirmed an answer."""
    age = datetime.now(UTC) - parse_instant(document["fetched_at"])
    return max(0, int(age.total_seconds()))
