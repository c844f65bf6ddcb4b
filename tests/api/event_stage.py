"""An API that streams events, and what writes to its topics."""

from dataclasses import dataclass

from infra.db import Database, open_database
from infra.events.relay import Relay, publish
from infra.outbox import Change
from infra.redis import connect
from infra.streams import Streams
from tests.api.conftest import Person, Starter
from tests.support.outbox import record
from tests.support.processes import eventually
from tests.support.sse import EventStream, is_followed
from workers.topics import TOPICS

SHARED_DB, OWN_DB = 7, 8


class Stage:
    """An API that streams, and what writes to its topics."""

    def __init__(self, start: Starter, streams_url: str, *, grace_s: str = "3", **env: str) -> None:
        self._client = connect(streams_url)
        self._client.flushdb()
        self.api = start("required", grace_s=grace_s, STREAMS_URL=streams_url, **env)
        self.database: Database = open_database(self.api.database_url)
        self._relay = Relay(self.database.sessions, Streams(self._client), TOPICS)
        self._last: dict[str, int] = {}
        self.follow()

    def follow(self) -> None:
        """Wait until the API hears what is told."""
        eventually(lambda: is_followed(self.api.url), what="the API follows the streams")

    def tell(
        self,
        topic: str,
        count: int = 1,
        *,
        size: int = 0,
        type: str = "thing.made",  # noqa: A002 - as the event calls it
        **data: object,
    ) -> None:
        """Write changes of new things, and publish them."""
        first = self._last.get(topic, 0) + 1
        self._last[topic] = first + count - 1
        record(
            self.database,
            *(
                Change(topic, type, f"things/{n}", 1, {"n": n, "padding": "x" * size, **data})
                for n in range(first, first + count)
            ),
        )
        self.publish()

    def publish(self) -> None:
        """Publish what has been committed."""
        publish(self._relay)

    def stream(
        self,
        topics: str | None = None,
        *,
        person: Person | None = None,
        last_event_id: str | None = None,
        timeout_s: float = 60.0,
        **query: str | None,
    ) -> EventStream:
        return EventStream(
            self.api.url,
            topics=topics,
            token=person.token if person else None,
            last_event_id=last_event_id,
            timeout_s=timeout_s,
            **query,
        )

    def close(self) -> None:
        self._client.close()
        self.database.engine.dispose()


@dataclass(frozen=True)
class People:
    """Somebody for each role."""

    customer: Person
    other: Person
    operator: Person
