"""Spans of time, and how what lies in them is written and sent."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated

import orjson
from fastapi import Query, Request, Response, status

from api.market_answers import JSON, has_it
from infra.errors import Invalid

# Made of our own tables for this very request.
_HEADERS = {"Cache-Control": "public, max-age=1", "Age": "0"}
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


def send(
    request: Request, shown: object, *, tagged: object, headers: Mapping[str, str] | None = None
) -> Response:
    """Send a document as JSON, or say that the reader has it.

    `tagged` is what has to change for it to be another answer: ages in it do not count.
    """
    tag = blake2b(orjson.dumps(tagged), digest_size=12).hexdigest()
    all_headers = {**_HEADERS, **(headers or {}), "ETag": f'W/"{tag}"'}
    if has_it(request, all_headers["ETag"]):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=all_headers)
    return Response(orjson.dumps(shown), headers=all_headers, media_type=JSON)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidSpan from None
