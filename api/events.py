"""Committed changes as they happen, over server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, 2026-11.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, FastAPI, Header, Query, Request

from accounts.tickets import BadTicket
from api.attendance import Attendance
from api.deps import Address, TokenRequired
from api.errors import problems
from api.event_access import TopicForbidden, UnknownTopic, UnknownType, choose, choose_types
from api.event_feed import Feed, Wish
from api.event_response import EventStreamResponse
from api.event_tickets import Follower
from infra import redis
from infra.companion import beside
from infra.events import cursor as cursors
from infra.events.cursor import Position
from infra.events.fanout import (
    Caps,
    Fanout,
    NotFollowing,
    Subscriber,
    TooManyOwnSubscribers,
    TooManySubscribers,
)
from infra.events.history import History
from workers.topics import TOPICS

router = APIRouter(tags=["events"])

HEARTBEAT_S = 15
SEND_TIMEOUT_S = 15


@asynccontextmanager
async def following(app: FastAPI) -> AsyncIterator[None]:
    """Run this process's one reader of the streams while the application serves.

    Companions started before may have left listeners in `app.state.entry_listeners`.
    """
    kept = app.state.collaborators
    client = redis.connect_async(kept.settings.streams)
    listeners = getattr(app.state, "entry_listeners", ())
    caps = Caps(kept.settings.event_streams, kept.settings.event_streams_per_caller)
    app.state.fanout = Fanout(client, History(kept.database.reads), TOPICS, listeners, caps)
    app.state.attendance = Attendance(kept.database.reads)
    try:
        async with beside(app.state.fanout.run()), beside(app.state.attendance.run()):
            yield
    finally:
        await client.aclose()


@router.get(
    "/events",
    response_class=EventStreamResponse,
    responses=problems(
        UnknownTopic,
        UnknownType,
        TokenRequired,
        BadTicket,
        TopicForbidden,
        TooManyOwnSubscribers,
        NotFollowing,
        TooManySubscribers,
    ),
)
async def stream_events(
    request: Request,
    caller: Follower,
    address: Address,
    topics: Annotated[
        str | None,
        Query(max_length=500, description="Joined by commas; all you may see if left out."),
    ] = None,
    subject: Annotated[
        str | None, Query(min_length=1, max_length=100, description="Only of this, as `orders/17`.")
    ] = None,
    types: Annotated[
        str | None, Query(max_length=500, description="Only these, joined by commas.")
    ] = None,
    cursor: Annotated[
        str | None, Query(description="As the header, for who cannot send one; the header wins.")
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(description="The `id` of the last event seen: nothing after it is missed."),
    ] = None,
) -> EventStreamResponse:
    """Stream events live; `event` is the type, `data` a CloudEvent, `id` resumes exactly.

    Customers see their own orders and payments; products and market topics are public.
    """
    wish = Wish(caller, subject, choose_types(types))
    chosen = choose(topics, caller)
    fanout: Fanout = request.app.state.fanout
    known = cursor if last_event_id is None else last_event_id
    places, lost = await _resume(fanout.history, known, chosen)
    owner = f"address {address}" if caller is None else f"user {caller.user_id}"
    subscriber = fanout.subscribe(chosen, places, owner=owner)
    return EventStreamResponse(
        _while_open(fanout, request.app.state.attendance, subscriber, wish, lost),
        ping=HEARTBEAT_S,
        send_timeout=SEND_TIMEOUT_S,
        sep="\n",
        headers={"Cache-Control": "no-store, no-transform"},
    )


async def _resume(
    history: History, told: str | None, topics: list[str]
) -> tuple[dict[str, Position], list[str]]:
    """Read where a returning client stands; also tell on which topics it must begin anew."""
    if told is None:
        return {}, []
    try:
        known = cursors.parse(told)
    except ValueError:
        return {}, topics
    places = {topic: place for topic, place in known.items() if topic in topics}
    lost = await history.unusable(places)
    return {topic: place for topic, place in places.items() if topic not in lost}, sorted(lost)


async def _while_open(
    fanout: Fanout, attendance: Attendance, subscriber: Subscriber, wish: Wish, lost: list[str]
) -> AsyncIterator[bytes]:
    attendance.enter(subscriber, wish.caller)
    try:
        async for chunk in Feed(subscriber, wish).chunks(lost):
            yield chunk
    finally:
        fanout.unsubscribe(subscriber)
        attendance.leave(subscriber)
