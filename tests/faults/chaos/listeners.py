"""Subscribers of the live streams: whatever is cut off, none misses an event or sees one twice."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException

import sqlalchemy as sa

from infra.db import Database
from infra.events.cursor import parse
from tests.faults.chaos.people import Person
from tests.support.sse import EventStream, Received

TOPICS = ("orders", "payments", "products")
_AGAIN_AFTER_S = 0.3
# Longer than between two heartbeats; one whose link stands still comes again.
_SILENCE_S = 20.0


class Listener:
    """Follows the shop's topics as an operator does: comes again with its cursor, for ever."""

    def __init__(self, api_url: str, who: Person) -> None:
        self.violations: list[str] = []
        self.seen: Counter[str] = Counter()
        self._at: dict[str, int] = {}
        self._api_url, self._who = api_url, who
        self._cursor: str | None = None
        self._ended = threading.Event()

    def listen(self) -> None:
        """Follow until told to end."""
        while not self._ended.is_set():
            with suppress(OSError, HTTPException):
                self._follow()
            time.sleep(_AGAIN_AFTER_S)

    def end(self) -> None:
        """Let go of the stream with the next event, or soon after the last."""
        self._ended.set()

    def behind(self, database: Database) -> Iterator[str]:
        """Tell on which topics it has not come to the end."""
        query = "SELECT topic, MAX(seq) AS last FROM event GROUP BY topic"
        with database.reads() as session:
            heads = {row.topic: row.last for row in session.execute(sa.text(query))}
        for topic in TOPICS:
            if (at := self._at.get(topic)) != heads.get(topic, 0):
                yield f"I12: a listener is at {at} of {topic}, which has {heads.get(topic, 0)}"

    def _follow(self) -> None:
        with EventStream(
            self._api_url,
            topics=",".join(TOPICS),
            last_event_id=self._cursor,
            token=self._who.access_token,
            timeout_s=_SILENCE_S,
        ) as stream:
            if stream.status != HTTPStatus.OK:
                self._look_at_refusal(stream)
                return
            for event in stream.events():
                self._take(event)
                self._cursor = event.id
                if self._ended.is_set():
                    return

    def _take(self, event: Received) -> None:
        if event.type in {"gap", "reset"}:
            self.violations.append(f"I12: {event.type} {event.data}")
        elif event.type not in {"ready", "place"}:
            topic, number = event.data["source"].rpartition("/")[2], _number(event)
            self.seen[topic] += 1
            if number != self._at[topic] + 1:
                self.violations.append(f"I12: {number} of {topic} came after {self._at[topic]}")
            self._at[topic] = number
        told = {topic: place.seq for topic, place in parse(event.id).items()}
        if told != (self._at or told):
            self.violations.append(f"I12: {event.type} says {told}, we are at {self._at}")
        self._at = told

    def _look_at_refusal(self, stream: EventStream) -> None:
        if stream.status < HTTPStatus.INTERNAL_SERVER_ERROR or "Retry-After" not in stream.headers:
            self.violations.append(f"I12: a listener was refused: {stream.status} {stream.body()}")


def _number(event: Received) -> int:
    return int(event.data["id"].partition("-")[2])
