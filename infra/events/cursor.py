"""Where a subscriber stands on several topics at once, as one short text that resumes exactly."""

from collections.abc import Mapping
from typing import NamedTuple

from infra.streams import parse_id

MOST_CHARACTERS = 1000


class Position(NamedTuple):
    """An event's place on its topic; ordered as Redis orders entry ids."""

    epoch: int
    seq: int


def encode(positions: Mapping[str, Position]) -> str:
    """Write positions as `<topic>:<epoch>-<seq>`, joined by commas."""
    return ",".join(f"{topic}:{place.epoch}-{place.seq}" for topic, place in positions.items())


def parse(text: str) -> dict[str, Position]:
    """Read positions back, strictly.

    Raises:
        ValueError: it is not a cursor that we gave out.
    """
    if not text or len(text) > MOST_CHARACTERS:
        raise ValueError(text[:20])
    positions = {}
    for part in text.split(","):
        topic, _, entry_id = part.partition(":")
        positions[topic] = Position(*parse_id(entry_id))
    if encode(positions) != text:  # leading zeros, a topic named twice
        raise ValueError(text)
    return positions
