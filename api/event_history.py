"""Committed events read back in pages, for whoever was away."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from accounts.callers import Caller
from api.deps import OptionalCaller, Reads, TokenRequired
from api.errors import problems
from api.event_access import TopicForbidden, UnknownTopic, check, may_see, sees_all_of
from infra import db
from infra.errors import Invalid
from infra.events import archive
from infra.events.archive import EventsGone, PositionUnknown
from infra.events.cursor import Position
from infra.events.entries import Entry, from_database
from infra.outbox import Numbered
from infra.streams import parse_id
from shop import own_subjects

router = APIRouter(tags=["events"])

DEFAULT_LIMIT, MAX_LIMIT = 100, 500
_MAX_SEQ = 2**63 - 1


class BadPosition(Invalid):
    """The position is not the id of an event."""

    code = "bad_position"

    def __init__(self) -> None:
        super().__init__(
            "after: not the id of an event, such as 1-42.",
            errors=[{"field": "after", "message": "not the id of an event"}],
        )


class NewestAlone(Invalid):
    """The newest events are asked for, and others too."""

    code = "newest_alone"

    def __init__(self) -> None:
        super().__init__(
            "newest: leave out `after` and `subject`.",
            errors=[{"field": "newest", "message": "goes without `after` and `subject`"}],
        )


class CloudEvent(BaseModel):
    """An event as every subscriber gets it (CloudEvents 1.0); `version` is the subject's."""

    specversion: str = Field(examples=["1.0"])
    id: str = Field(examples=["1-42"])
    source: str = Field(examples=["/tradepost/orders"])
    type: str = Field(examples=["order.paid"])
    subject: str = Field(examples=["orders/17"])
    version: int
    time: datetime
    datacontenttype: str = Field(examples=["application/json"])
    data: dict[str, Any]


@router.get(
    "/events/history",
    response_model=list[CloudEvent],
    responses={
        **problems(
            UnknownTopic,
            BadPosition,
            NewestAlone,
            TokenRequired,
            TopicForbidden,
            EventsGone,
            PositionUnknown,
        ),
        200: {"headers": {"Link": {"schema": {"type": "string"}, "description": "The next page."}}},
    },
)
def list_events(
    caller: OptionalCaller,
    reads: Reads,
    topic: Annotated[str, Query(max_length=100, description="As `orders`: one topic.")],
    after: Annotated[
        str | None,
        Query(max_length=50, description="The id of the last event you know; else the oldest."),
    ] = None,
    newest: Annotated[  # noqa: FBT002 - a query flag
        bool, Query(description="The newest instead: so many of them, in order.")
    ] = False,
    subject: Annotated[
        str | None, Query(min_length=1, max_length=100, description="As `orders/17`.")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")
    ] = DEFAULT_LIMIT,
) -> Response:
    """List events of a topic, oldest first; `Link` names the next page while there is one.

    Customers see their own orders and payments. Events that are no longer kept are a 410, which
    tells where to go on: nothing is left out in silence.
    """
    check(topic, caller)
    if newest and (after is not None or subject is not None):
        raise NewestAlone
    if newest:
        rows = _newest(reads, topic, caller, limit=limit)
    else:
        place = None if after is None else _position(after)
        rows = _rows(reads, topic, caller, subject=subject, after=place, limit=limit)
    shown = [entry for entry in map(from_database, rows) if may_see(entry, caller)]
    body = b"[" + b",".join(entry.cloud_event for entry in shown) + b"]"
    return Response(body, media_type="application/json", headers=_link(shown, subject, limit))


def _rows(
    reads: db.Sessions,
    topic: str,
    caller: Caller | None,
    *,
    subject: str | None,
    after: Position | None,
    limit: int,
) -> list[Numbered]:
    with reads() as session:
        if subject is not None:
            return archive.list_page_of(session, topic, subject, after=after, limit=limit)
        if caller is None or sees_all_of(topic, caller):
            return archive.list_page(session, topic, after=after, limit=limit)
        own = own_subjects.list_of(session, topic, user_id=caller.user_id)
        return archive.list_page_of_many(session, topic, own, after=after, limit=limit)


def _newest(reads: db.Sessions, topic: str, caller: Caller | None, *, limit: int) -> list[Numbered]:
    with reads() as session:
        if caller is None or sees_all_of(topic, caller):
            return archive.list_newest(session, topic, limit=limit)
        own = own_subjects.list_of(session, topic, user_id=caller.user_id)
        return archive.list_newest_of_many(session, topic, own, limit=limit)


def _position(text: str) -> Position:
    try:
        place = Position(*parse_id(text))
    except ValueError:
        raise BadPosition from None
    if "{}-{}".format(*place) != text or max(place) > _MAX_SEQ:  # leading zeros, beyond 64 bits
        raise BadPosition
    return place


def _link(shown: Sequence[Entry], subject: str | None, limit: int) -> dict[str, str]:
    """Name the page after this one, which may turn out to be empty: then there is no more yet."""
    if not shown:
        return {}
    last = shown[-1]
    asked = {"topic": last.topic, "after": "{}-{}".format(*last.place), "limit": limit}
    if subject is not None:
        asked["subject"] = subject
    return {"Link": f'</events/history?{urlencode(asked)}>; rel="next"'}
