"""Committed changes as they happen, over server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, 2026-11.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import orjson
from fastapi import APIRouter, FastAPI, Header, Query, Request
from sse_starlette import EventSourceResponse

from accounts.callers import Caller
from api.deps import OptionalCaller, TokenRequired
from api.errors import problems
from infra import cursor, redis
from infra.companion import beside
from infra.cursor import Position
from infra.errors import Forbidden, Invalid
from infra.fanout import (
    Entry,
    Fanout,
    Gap,
    Item,
    NotFollowing,
    Reset,
    Subscriber,
    TooManySubscribers,
)
from infra.history import History
from market.events import TOPICS as MARKET_TOPICS
from shop.events import ORDERS, PAYMENTS, PRODUCTS
from workers.topics import TOPICS

router = APIRouter(tags=["events"])

HEARTBEAT_S = 15
SEND_TIMEOUT_S = 15
PUBLIC_TOPICS = frozenset({PRODUCTS, *MARKET_TOPICS})
PERSONAL_TOPICS = frozenset({ORDERS, PAYMENTS})


class UnknownTopic(Invalid):
    """There is no such topic."""

    code = "unknown_topic"

    def __init__(self, topic: str) -> None:
        known = ", ".join(TOPICS)
        super().__init__(f"topics: there is no topic {topic[:40]!r}. There are: {known}.")


class TopicForbidden(Forbidden):
    """The topic is for operators."""

    code = "topic_forbidden"

    def __init__(self, topic: str) -> None:
        super().__init__(f"The topic {topic} needs the role operator.")


@asynccontextmanager
async def following(app: FastAPI) -> AsyncIterator[None]:
    """Run this process's one reader of the streams while the application serves.

    Companions started before may have left listeners in `app.state.entry_listeners`.
    """
    kept = app.state.collaborators
    client = redis.connect_async(kept.settings.streams)
    listeners = getattr(app.state, "entry_listeners", ())
    app.state.fanout = Fanout(client, History(kept.database.reads), TOPICS, listeners)
    try:
        async with beside(app.state.fanout.run()):
            yield
    finally:
        await client.aclose()


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses=problems(
        UnknownTopic, TokenRequired, TopicForbidden, NotFollowing, TooManySubscribers
    ),
)
async def stream_events(
    request: Request,
    caller: OptionalCaller,
    topics: Annotated[
        str | None,
        Query(max_length=500, description="Joined by commas; all you may see if left out."),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(description="The `id` of the last event seen: nothing after it is missed."),
    ] = None,
) -> EventSourceResponse:
    """Stream events live; `event` is the type, `data` a CloudEvent, `id` resumes exactly.

    Customers see their own orders and payments; products and market topics are public.
    """
    chosen = _choose(topics, caller)
    fanout: Fanout = request.app.state.fanout
    places, lost = await _resume(fanout.history, last_event_id, chosen)
    subscriber = fanout.subscribe(chosen, places)
    return EventSourceResponse(
        _chunks(fanout, subscriber, caller, lost),
        ping=HEARTBEAT_S,
        send_timeout=SEND_TIMEOUT_S,
        sep="\n",
    )


def _choose(topics: str | None, caller: Caller | None) -> list[str]:
    if topics is None:
        return [topic for topic in TOPICS if _may_see(topic, caller)]
    chosen = list(dict.fromkeys(topic.strip() for topic in topics.split(",") if topic.strip()))
    for topic in chosen or [topics]:
        if topic not in TOPICS:
            raise UnknownTopic(topic)
        if not _may_see(topic, caller):
            raise TokenRequired if caller is None else TopicForbidden(topic)
    return chosen


def _may_see(topic: str, caller: Caller | None) -> bool:
    if topic in PUBLIC_TOPICS:
        return True
    return caller is not None and (caller.is_operator or topic in PERSONAL_TOPICS)


async def _resume(
    history: History, last_event_id: str | None, topics: list[str]
) -> tuple[dict[str, Position], list[str]]:
    """Read where a returning client stands; also tell on which topics it must begin anew."""
    if last_event_id is None:
        return {}, []
    try:
        known = cursor.parse(last_event_id)
    except ValueError:
        return {}, topics
    places = {topic: place for topic, place in known.items() if topic in topics}
    lost = await history.unusable(places)
    return {topic: place for topic, place in places.items() if topic not in lost}, sorted(lost)


async def _chunks(
    fanout: Fanout, subscriber: Subscriber, caller: Caller | None, lost: list[str]
) -> AsyncIterator[bytes]:
    try:
        # Tells at once where the stream begins, so that a client cut off early can resume.
        yield _chunk(subscriber, "ready", orjson.dumps({"topics": list(subscriber.places)}))
        for topic in lost:
            yield _show(subscriber, Reset(topic, subscriber.places[topic]))
        async for item in subscriber.items():
            if not isinstance(item, Entry) or _is_for(item, caller):
                yield _show(subscriber, item)
    finally:
        fanout.unsubscribe(subscriber)


def _is_for(entry: Entry, caller: Caller | None) -> bool:
    if entry.topic not in PERSONAL_TOPICS:
        return True
    return caller is not None and (
        caller.is_operator or entry.data.get("user_id") == caller.user_id
    )


def _show(subscriber: Subscriber, item: Item) -> bytes:
    match item:
        case Entry():
            return _chunk(subscriber, item.type, item.cloud_event)
        case Gap():
            told = {"topic": item.topic, "after": item.after, "before": item.before}
            return _chunk(subscriber, "gap", orjson.dumps(told))
        case Reset():
            begins = {"topic": item.topic, "at": "{}-{}".format(*item.place)}
            return _chunk(subscriber, "reset", orjson.dumps(begins))


def _chunk(subscriber: Subscriber, kind: str, data: bytes) -> bytes:
    place = cursor.encode(subscriber.places)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (kind.encode(), place.encode(), data)
