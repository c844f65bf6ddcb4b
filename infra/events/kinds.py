"""What kinds of events there are: declared by the business beside its topics, told to the outside.

The published contract (`/asyncapi.json`), the filter of streams and the tests all read from here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of event by its name: its topic, the noun it is about, the shape of its `data`."""

    name: str
    topic: str
    noun: str
    data: type
    summary: str

    def schema(self) -> dict[str, Any]:
        """Give the JSON schema of `data`, in one piece."""
        return TypeAdapter(self.data).json_schema()


def kinds(topic: str, noun: str, data: type, summaries: dict[str, str]) -> tuple[Kind, ...]:
    """Declare kinds that share topic, noun and shape: summaries by type."""
    return tuple(Kind(str(name), topic, noun, data, told) for name, told in summaries.items())


def by_type(declared: Iterable[Kind]) -> dict[str, Kind]:
    """Find kinds by their type, which is unique."""
    return {kind.name: kind for kind in declared}
