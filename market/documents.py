"""How market data look to the outside: figures with all their digits, instants as UTC text."""

from datetime import UTC, datetime
from decimal import Decimal

import orjson

from market.sessions import session_at
from market.symbols import SymbolClass

Document = dict[str, object]


def number(value: Decimal | None) -> orjson.Fragment | None:
    """Turn a decimal into a JSON number with the same digits, which a float may not have."""
    return None if value is None else orjson.Fragment(format(value, "f"))


def instant(value: datetime) -> str:
    """Turn an aware UTC instant into RFC 3339 text."""
    return value.isoformat().replace("+00:00", "Z")


def parse_instant(text: object) -> datetime:
    """Read what `instant` wrote."""
    return datetime.fromisoformat(str(text))


def show(document: Document, symbol_class: SymbolClass, *, stale: bool = False) -> Document:
    """Add to a public form what depends on the moment: its age in seconds and the session.

    What could not be refreshed is called `stored`: nobody vouches that it still holds.
    """
    now = datetime.now(UTC)
    age_s = int((now - parse_instant(document["as_of"])).total_seconds())
    return {
        **document,
        "source": "stored" if stale else document["source"],
        "session": session_at(symbol_class, now),
        "stale": stale,
        "age_s": max(0, age_s),
    }
