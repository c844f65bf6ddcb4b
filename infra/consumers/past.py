"""Where a consumer finds events that no stream holds for it any more: the database, or the API."""

from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import httpx
import orjson
import sqlalchemy as sa

from infra import outbox
from infra.db import Sessions
from infra.errors import Transient
from infra.events import archive
from infra.events.archive import EventsGone, PositionUnknown
from infra.events.cursor import Position
from infra.events.entries import Entry, from_cloud_event, from_database
from infra.outbox import StreamState
from infra.streams import parse_id

PAGE = 500
_TIMEOUT_S = 10.0


class PastUnreachable(Transient):
    """The events cannot be read back now."""

    code = "history_unavailable"

    def __init__(self) -> None:
        super().__init__("The history of events cannot be read now.")


@dataclass(frozen=True, slots=True)
class Story:
    """Where a topic's present epoch began, and its last event."""

    began: Position
    head: Position


class Past(Protocol):
    """Committed events, in order, from wherever they are kept."""

    def story(self, topic: str) -> Story:
        """Tell where the topic stands."""
        ...

    def page(
        self, topic: str, *, after: Position | None, subject: str | None = None, limit: int = PAGE
    ) -> list[Entry]:
        """List what came after an event, the oldest without one, up to the next hole.

        Raises:
            EventsGone: what came next is no longer kept.
            PositionUnknown: there is no such event.
        """
        ...


@dataclass(frozen=True)
class DatabasePast:
    """Tradepost's own database."""

    reads: Sessions

    def story(self, topic: str) -> Story:
        """Tell where the topic stands."""
        with self.reads() as session:
            state = session.scalars(sa.select(StreamState).where(StreamState.topic == topic)).one()
            began = outbox.first_seq_of_epoch(session, state)
            return Story(Position(state.epoch, began), Position(state.epoch, state.next_seq - 1))

    def page(
        self, topic: str, *, after: Position | None, subject: str | None = None, limit: int = PAGE
    ) -> list[Entry]:
        """List what came after an event, the oldest without one, up to the next hole.

        Raises:
            EventsGone: what came next is no longer kept.
            PositionUnknown: there is no such event.
        """
        with self.reads() as session:
            if subject is None:
                rows = archive.list_page(session, topic, after=after, limit=limit)
            else:
                rows = archive.list_page_of(session, topic, subject, after=after, limit=limit)
        return [from_database(row) for row in rows]


class ApiPast:
    """The API's `GET /events/history`, for services with no way into Tradepost's database."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def story(self, topic: str) -> Story:
        """Tell where the topic stands: no event has the number 0, and the refusal says the rest."""
        try:
            self.page(topic, after=Position(0, 0), limit=1)
        except PositionUnknown as told:
            return Story(_position(told.extra["began"]), _position(told.extra["head"]))
        raise PastUnreachable

    def page(
        self, topic: str, *, after: Position | None, subject: str | None = None, limit: int = PAGE
    ) -> list[Entry]:
        """List what came after an event, the oldest without one, up to the next hole.

        Raises:
            EventsGone: what came next is no longer kept.
            PositionUnknown: there is no such event.
            PastUnreachable: the API does not answer, or does not let us.
        """
        asked: dict[str, str | int] = {"topic": topic, "limit": limit}
        if after is not None:
            asked["after"] = "{}-{}".format(*after)
        if subject is not None:
            asked["subject"] = subject
        try:
            answer = self._client.get("/events/history", params=asked)
            if answer.status_code != httpx.codes.OK:
                _raise(topic, answer)
            return [from_cloud_event(orjson.dumps(event)) for event in answer.json()]
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            raise PastUnreachable from error


def first_about(past: Past, entry: Entry, *, after: Position) -> Entry | None:
    """Find the first event about the same subject after a position, as far as it is kept."""
    for _ in range(2):
        try:
            found = past.page(entry.topic, after=after, subject=entry.subject, limit=1)
        except EventsGone as gone:
            after = _position(gone.extra["go_on_after"])
        except PositionUnknown:
            return None
        else:
            return found[0] if found else None
    return None


def _raise(topic: str, answer: httpx.Response) -> NoReturn:
    told: dict[str, Any] = answer.json()
    match told.get("code"):
        case EventsGone.code:
            before = _position(told["go_on_after"])
            raise EventsGone(
                topic, after=told["after"], before=Position(before.epoch, before.seq + 1)
            )
        case PositionUnknown.code:
            raise PositionUnknown(
                topic, began=_position(told["began"]), head=_position(told["head"])
            )
    raise PastUnreachable


def _position(told: object) -> Position:
    return Position(*parse_id(str(told)))
