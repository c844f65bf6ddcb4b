"""Events read back from the database: what a subscriber missed, and where its cursor stands."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from infra import outbox
from infra.db import Sessions
from infra.events.cursor import Position
from infra.outbox import Numbered, StreamState

PAGE = 500


@dataclass(frozen=True)
class History:
    """Numbered events in the database, read off the event loop."""

    reads: Sessions

    async def heads(self, topics: Iterable[str]) -> dict[str, Position]:
        """Tell the last number given on each topic."""
        return await asyncio.to_thread(self._heads, list(topics))

    async def after(self, topic: str, seq: int) -> list[Numbered]:
        """Read the next page of events above a number."""
        return await asyncio.to_thread(self._after, topic, seq)

    async def unusable(self, cursor: Mapping[str, Position]) -> set[str]:
        """Tell on which topics a cursor points at an event that never was, or is no more.

        After a restore from a backup, a number may stand for another event than the one the
        subscriber saw; the epoch tells them apart.
        """
        return await asyncio.to_thread(self._unusable, cursor)

    def _heads(self, topics: list[str]) -> dict[str, Position]:
        with self.reads() as session:
            states = session.scalars(sa.select(StreamState).where(StreamState.topic.in_(topics)))
            return {state.topic: Position(state.epoch, state.next_seq - 1) for state in states}

    def _after(self, topic: str, seq: int) -> list[Numbered]:
        with self.reads() as session:
            return outbox.list_after(session, topic, seq=seq, limit=PAGE)

    def _unusable(self, cursor: Mapping[str, Position]) -> set[str]:
        heads = self._heads(list(cursor))
        with self.reads() as session:
            return {
                topic
                for topic, place in cursor.items()
                if not fits(
                    place,
                    heads.get(topic, Position(0, 0)),
                    outbox.find_numbered(session, topic, seq=place.seq),
                )
            }


def fits(place: Position, head: Position, event: Numbered | None) -> bool:
    """Tell whether a position is one of the present story; `event` is what has its number now."""
    if place.epoch > head.epoch or place.seq > head.seq:
        return False
    if event is None:  # never numbered, or pruned: the epoch alone must vouch for it
        return place.epoch == head.epoch
    return event.epoch == place.epoch
