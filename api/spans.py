"""Spans of time, and the two ways in which what lies in them is written."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import Query

from infra.errors import Invalid

HEADERS = {"Cache-Control": "public, max-age=1"}
JSON = "application/json"
_FIRST_YEAR, _LAST_YEAR = 1980, 2100


class Format(StrEnum):
    """How an answer is written."""

    JSON = "json"
    CSV = "csv"


class InvalidSpan(Invalid):
    """The instants cannot be."""

    code = "invalid_span"

    def __init__(self) -> None:
        super().__init__(
            f"`from` must not be after `to`; both lie in the years {_FIRST_YEAR} to {_LAST_YEAR}."
        )


Begin = Annotated[
    datetime | None,
    Query(alias="from", description="Unix seconds or ISO 8601 (UTC unless it says otherwise)."),
]
End = Annotated[datetime | None, Query(alias="to", description="As `from`; left out: now.")]
As = Annotated[Format, Query(alias="format", description="`csv` gives all rows, oldest first.")]


def read_span(
    begin: datetime | None, end: datetime | None, *, usual: timedelta
) -> tuple[datetime, datetime]:
    """Complete a span: to now, and from so much before.

    Raises:
        InvalidSpan: it is none.
    """
    last = _utc(end) if end else datetime.now(UTC)
    if not _FIRST_YEAR <= last.year <= _LAST_YEAR:
        raise InvalidSpan
    first = _utc(begin) if begin else last - usual
    if first.year < _FIRST_YEAR or first > last:
        raise InvalidSpan
    return first, last


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidSpan from None
