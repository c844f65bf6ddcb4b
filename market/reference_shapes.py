"""The provider's answers that describe the market itself: symbols, sessions, holidays."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from market.fields import as_list, as_mapping, day, instant, text
from market.holidays import Holiday
from market.sessions import Session
from market.symbols import InvalidSymbol, parse_symbol
from market.upstream import BadAnswer

MOST_MATCHES = 100
_LONGEST_NAME = 200
_SESSIONS = {
    None: Session.CLOSED,
    "pre-market": Session.PRE_MARKET,
    "regular": Session.REGULAR,
    "post-market": Session.POST_MARKET,
}


@dataclass(frozen=True, slots=True)
class Match:
    """A symbol and what it stands for; `kind` is the provider's word, such as `Common Stock`."""

    symbol: str
    display: str
    description: str
    kind: str


@dataclass(frozen=True, slots=True)
class Status:
    """What an exchange does at an instant."""

    session: Session
    holiday: str | None
    at: datetime


def parse_search(answer: object) -> list[Match]:
    """Read what a search has found; what is no symbol of ours is left out.

    Raises:
        BadAnswer: it is no search result.
    """
    fields = as_mapping(answer)
    return _matches(as_list(fields.get("result")))[:MOST_MATCHES]


def parse_symbols(answer: object) -> list[Match]:
    """Read the list of the symbols of an exchange.

    Raises:
        BadAnswer: it is no list, or an empty one.
    """
    found = _matches(as_list(answer))
    if not found:
        raise BadAnswer("the exchange has no symbols")
    return found


def parse_status(answer: object, *, exchange: str) -> Status:
    """Read an exchange's session.

    Raises:
        BadAnswer: it is of another exchange, or its session is unknown.
    """
    fields = as_mapping(answer)
    session = fields.get("session")
    if fields.get("exchange") != exchange or "session" not in fields or session not in _SESSIONS:
        raise BadAnswer("the market status is none")
    holiday = text(fields.get("holiday"))[:_LONGEST_NAME] or None
    return Status(_SESSIONS[session], holiday, instant(fields.get("t")))


def parse_holidays(answer: object, *, exchange: str) -> list[Holiday]:
    """Read an exchange's holidays and early closes.

    Raises:
        BadAnswer: they are of another exchange, or none at all.
    """
    fields = as_mapping(answer)
    found = [_holiday(as_mapping(item)) for item in as_list(fields.get("data"))]
    if fields.get("exchange") != exchange or not found:
        raise BadAnswer("the holidays are none")
    return found


def _matches(items: Any) -> list[Match]:  # noqa: ANN401 - not looked into yet
    found = (_find_match(item) for item in items)
    return list({match.symbol: match for match in found if match is not None}.values())


def _find_match(item: object) -> Match | None:
    try:
        fields = as_mapping(item)
        symbol = parse_symbol(text(fields.get("symbol")))
    except (BadAnswer, InvalidSymbol):
        return None
    return Match(
        symbol=symbol,
        display=text(fields.get("displaySymbol"))[:_LONGEST_NAME] or symbol,
        description=text(fields.get("description"))[:_LONGEST_NAME],
        kind=text(fields.get("type"))[:_LONGEST_NAME],
    )


def _holiday(fields: Any) -> Holiday:  # noqa: ANN401 - a mapping of anything
    hours = text(fields.get("tradingHour"))
    return Holiday(
        day(fields.get("atDate")),
        text(fields.get("eventName"))[:_LONGEST_NAME],
        _closes(hours) if hours else None,
    )


def _closes(hours: str) -> time:
    """Read the end of `09:30-13:00`."""
    try:
        return time.fromisoformat(hours.rpartition("-")[2].strip())
    except ValueError:
        raise BadAnswer("trading hours cannot be read") from None
