"""What one open stream shows of the events it follows, in the lines of server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, 2026-11.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from time import monotonic

import orjson

from accounts.callers import Caller
from api.event_access import may_see
from infra.events import cursor
from infra.events.entries import Entry
from infra.events.fanout import Gap, Item, Reset, Subscriber

# How old the cursor of a client may become while nothing passes his filters.
PLACE_EVERY_S = 15


@dataclass(frozen=True, slots=True)
class Wish:
    """Which events a stream is for: what the caller may see, and of that what he asked for."""

    caller: Caller | None
    subject: str | None = None
    types: frozenset[str] | None = None

    def takes(self, entry: Entry) -> bool:
        """Tell whether an event is to be shown."""
        return (
            (self.subject is None or entry.subject == self.subject)
            and (self.types is None or entry.type in self.types)
            and may_see(entry, self.caller)
        )


class Feed:
    """The chunks of one stream, each with a cursor that goes on right behind it."""

    def __init__(
        self, subscriber: Subscriber, wish: Wish, *, place_every_s: float = PLACE_EVERY_S
    ) -> None:
        self._subscriber = subscriber
        self._wish = wish
        self._place_every_s = place_every_s
        self._told_at = monotonic()

    async def chunks(self, lost: Sequence[str]) -> AsyncIterator[bytes]:
        """Yield all that the stream shows, first the topics that were `lost`."""
        # Tells at once where the stream begins, so that a client cut off early can resume.
        yield self._chunk("ready", orjson.dumps({"topics": list(self._subscriber.places)}))
        for topic in lost:
            yield self._show(Reset(topic, self._subscriber.places[topic]))
        async for chunk in self._subscriber.chunks(self._show):
            yield chunk

    def _show(self, item: Item) -> bytes:
        match item:
            case Entry():
                return self._show_entry(item) if self._wish.takes(item) else self._pass_over()
            case Gap():
                told = {"topic": item.topic, "after": item.after, "before": item.before}
                return self._chunk("gap", orjson.dumps(told))
            case Reset():
                begins = {"topic": item.topic, "at": "{}-{}".format(*item.place)}
                return self._chunk("reset", orjson.dumps(begins))

    def _show_entry(self, entry: Entry) -> bytes:
        key = self._subscriber.shared_key
        if key is None:
            return self._chunk(entry.type, entry.cloud_event)
        self._told_at = monotonic()
        shown = entry.shown.get(key)
        if shown is None:
            shown = entry.shown[key] = self._chunk(entry.type, entry.cloud_event)
        return shown

    def _pass_over(self) -> bytes:
        """Show nothing, or now and then only how far we are: else a cursor could outlive events."""
        if monotonic() - self._told_at < self._place_every_s:
            return b""
        return self._chunk("place", b"{}")

    def _chunk(self, kind: str, data: bytes) -> bytes:
        self._told_at = monotonic()
        place = cursor.encode(self._subscriber.places)
        return b"event: %b\nid: %b\ndata: %b\n\n" % (kind.encode(), place.encode(), data)
