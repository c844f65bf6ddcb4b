"""Tells of changes as they are committed: few events get their numbers with what they tell of."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy.orm import Session

from infra.db import Sessions, transact
from infra.events import short_way
from infra.events.short_way import Given
from infra.logs import log
from infra.redis import RedisDown
from infra.streams import Streams, Tip

T = TypeVar("T")


class Teller:
    """Runs transactions that write few events, and tells of them at once.

    It is a relay that spares itself a transaction. `is_done` says whether all that was new after
    the last transaction has been told of. Whatever has not is left to the relay: events without
    numbers, and if `has_unsent`, events with numbers that are not on their streams.
    """

    def __init__(self, streams: Streams, topics: Sequence[str]) -> None:
        self.is_done = self.has_unsent = False
        self._streams = streams
        self._topics = topics

    def transact(self, sessions: Sessions, work: Callable[[Session], T]) -> T:
        """Run `work` as `infra.db.transact` does, and tell of all that is new with it.

        Nothing is asked of Redis while the transaction is open, and nobody is waited for: a topic
        that another relay is at, or whose stream cannot be read, is left as it is.

        Raises:
            CommitUnknown, DatabaseBusy, DatabaseDown, DatabaseSlow: as `infra.db.transact`.
        """
        self.is_done = False
        tips = self._look()

        def work_with_numbers(session: Session) -> tuple[T, Given]:
            result = work(session)
            session.flush()
            return result, short_way.number(session, tips) if tips else Given()

        result, given = transact(sessions, work_with_numbers)
        if not self._send(given):
            self.has_unsent = True
        self.is_done = given.is_all and not self.has_unsent
        return result

    def _look(self) -> Mapping[str, Tip]:
        """See where the streams stand: between now and the commit they can only have gone on."""
        try:
            return self._streams.tips(self._topics)
        except RedisDown as error:
            log.warning("streams_not_read", error=type(error).__name__)
            return {}

    def _send(self, given: Given) -> bool:
        try:
            return len(short_way.add(self._streams, given.batches)) == len(given.batches)
        except RedisDown as error:
            log.warning("events_not_published", error=type(error).__name__)
            return False
