"""The streams against the database, entry by entry, in pages: what differs is named."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import outbox
from infra.db import Sessions
from infra.outbox import Numbered, StreamState
from infra.redis import translated
from infra.streams import Streams, Tip, as_texts, entry_fields, parse_id, stream_key, text_of

PAGE = 1000
MOST_NAMED = 100

Place = tuple[int, int]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry that is not what the database says, and how: `missing`, `foreign`, `different`."""

    entry_id: str
    kind: str
    fields: tuple[str, ...] = ()


@dataclass(slots=True)
class Verdict:
    """What a comparison of one topic found; `differences` names the first hundred.

    `waiting` counts events that are not on the stream yet, `unknown` entries whose rows have been
    pruned or that are from before a restore: neither is a difference.
    """

    topic: str
    compared: int = 0
    waiting: int = 0
    unknown: int = 0
    found: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Tell whether nothing differs."""
        return not self.found

    def add(self, entry_id: str, kind: str, fields: tuple[str, ...] = ()) -> None:
        """Note a difference."""
        self.found[kind] += 1
        if len(self.differences) < MOST_NAMED:
            self.differences.append(Difference(entry_id, kind, fields))


def count_entries(streams: Streams, topics: Sequence[str]) -> int:
    """Count what `compare` will look at, for a progress bar.

    Raises:
        RedisDown: the streams cannot be read.
    """
    tips = streams.tips(topics)
    return sum(streams.length(topic) for topic in topics if tips[topic].is_stream)


def compare(reads: Sessions, streams: Streams, topic: str, progress: Progress) -> Verdict:
    """Compare a topic's stream with its rows, a page of each in memory, while both go on.

    What is added or trimmed meanwhile is no difference.

    Raises:
        RedisDown: the stream cannot be read.
    """
    verdict = Verdict(topic)
    tip = streams.tips([topic])[topic]
    with reads() as session:
        story = _read_story(session, topic)
    if tip.is_unused or not tip.is_stream:
        if story.published or not tip.is_unused:
            verdict.add(tip.last_id or "the stream", "wrong_type" if tip.last_id else "gone")
        return verdict
    last = (story.epoch, story.head) if tip.is_foreign else (tip.epoch, tip.seq)
    verdict.waiting = max(0, story.head - last[1])
    _Walk(reads, streams, verdict, story, progress).run(tip, last)
    return verdict


@dataclass(frozen=True, slots=True)
class _Story:
    """What the database says of a topic's numbers."""

    epoch: int
    epoch_begins: int
    oldest: int
    head: int
    published: int


class _Walk:
    """One way along a stream and its rows at the same time."""

    def __init__(
        self,
        reads: Sessions,
        streams: Streams,
        verdict: Verdict,
        story: _Story,
        progress: Progress,
    ) -> None:
        self._reads, self._streams, self._progress = reads, streams, progress
        self._verdict, self._story = verdict, story
        self._floor: Place | None = None

    def run(self, tip: Tip, last: Place) -> None:
        """Compare all entries with the rows up to `last`."""
        rows = self._rows(self._begin(tip), last)
        row = next(rows, None)
        for entry_id, fields in self._entries(tip.last_id):
            place = parse_id(entry_id)
            while row is not None and (row.epoch, row.seq) < place:
                self._miss(row)
                row = next(rows, None)
            if row is not None and (row.epoch, row.seq) == place:
                self._compare(row, fields)
                row = next(rows, None)
            else:
                self._judge_alone(entry_id, place)
        while row is not None:
            self._miss(row)
            row = next(rows, None)

    def _begin(self, tip: Tip) -> int:
        """Tell after which number to begin: below what retention left, or the first entry."""
        if tip.floor:
            return parse_id(tip.floor)[1] - 1
        first = self._read(b"-", tip.last_id, 1)
        return parse_id(text_of(first[0][0]))[1] - 1 if first else self._story.head

    def _rows(self, seq: int, last: Place) -> Iterator[Numbered]:
        while True:
            with self._reads() as session:
                page = outbox.list_after(session, self._verdict.topic, seq=seq, limit=PAGE)
            for row in page:
                if (row.epoch, row.seq) > last:
                    return
                yield row
            if not page:
                return
            seq = page[-1].seq

    def _entries(self, last_id: str) -> Iterator[tuple[str, dict[str, str]]]:
        start = "-"
        while page := self._read(start, last_id, PAGE):
            self._floor = None
            for entry_id, fields in page:
                yield text_of(entry_id), as_texts(fields)
            self._progress(len(page))
            start = f"({text_of(page[-1][0])}"

    def _read(self, start: str | bytes, last_id: str, count: int) -> list[Any]:
        with translated():
            page: Any = self._streams.client.xrange(
                stream_key(self._verdict.topic), min=start, max=last_id, count=count
            )
        return list(page)

    def _compare(self, row: Numbered, fields: dict[str, str]) -> None:
        self._verdict.compared += 1
        flat = entry_fields(row)[1:]
        expected = dict(zip(flat[::2], flat[1::2], strict=True))
        if fields != expected:
            names = sorted(fields.keys() | expected.keys())
            differing = tuple(name for name in names if fields.get(name) != expected.get(name))
            self._verdict.add(f"{row.epoch}-{row.seq}", "different", differing)

    def _miss(self, row: Numbered) -> None:
        """Note a row without an entry, unless retention has cut it off since we began."""
        if self._floor is None:
            floor = self._streams.tips([self._verdict.topic])[self._verdict.topic].floor
            self._floor = parse_id(floor) if floor else (0, 0)
        if (row.epoch, row.seq) >= self._floor:
            self._verdict.add(f"{row.epoch}-{row.seq}", "missing")

    def _judge_alone(self, entry_id: str, place: Place) -> None:
        is_pruned = place[1] < self._story.oldest
        is_dead = place[0] < self._story.epoch and place[1] >= self._story.epoch_begins
        if is_pruned or is_dead:
            self._verdict.unknown += 1
        else:
            self._verdict.add(entry_id, "foreign")


def _read_story(session: Session, topic: str) -> _Story:
    state = session.scalars(sa.select(StreamState).where(StreamState.topic == topic)).one()
    oldest = outbox.list_after(session, topic, seq=0, limit=1)
    return _Story(
        epoch=state.epoch,
        epoch_begins=outbox.first_seq_of_epoch(session, state),
        oldest=oldest[0].seq if oldest else state.next_seq,
        head=state.next_seq - 1,
        published=state.published,
    )
