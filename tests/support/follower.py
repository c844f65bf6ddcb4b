"""A subscriber that reads Redis as the documentation says: holes are filled from the database."""

from dataclasses import dataclass, field
from typing import Any

from infra import outbox
from infra.db import Database

Story = tuple[str, str, int]


@dataclass
class Follower:
    """Reads one topic from the beginning, a few entries at a time; what nobody has is a gap."""

    topic: str
    at: int = 0
    seen: list[Story] = field(default_factory=list)
    gaps: set[int] = field(default_factory=set)

    def follow(self, database: Database, client: Any, *, count: int | None = None) -> None:
        """Read what is there after its place, at most `count` entries of the stream."""
        entries = client.xrange(f"events:{self.topic}", count=None)
        ours = [fields for entry_id, fields in entries if fields.get("id") == entry_id]
        new = [fields for fields in ours if _seq(fields) > self.at]
        for fields in new[:count]:
            if _seq(fields) > self.at + 1:
                self._fill(database, before=_seq(fields))
            self._take(_seq(fields), fields["subject"], int(fields["version"]))

    def _fill(self, database: Database, *, before: int) -> None:
        with database.reads() as session:
            rows = outbox.list_after(session, self.topic, seq=self.at, limit=before)
        for row in rows:
            if row.seq < before:
                self.gaps |= set(range(self.at + 1, row.seq))
                self._take(row.seq, row.subject, row.version)
        self.gaps |= set(range(self.at + 1, before))
        self.at = before - 1

    def _take(self, seq: int, subject: str, version: int) -> None:
        assert seq > self.at, f"{self.topic}: {seq} comes after {self.at}"
        self.at = seq
        self.seen.append((self.topic, subject, version))


def _seq(fields: dict[str, str]) -> int:
    return int(fields["id"].partition("-")[2])
