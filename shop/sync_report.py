"""What a sync did, or would do: counts, the differences, and what it refused; all bounded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from shop import money
from shop.feed_items import Refusal

MOST_LISTED = 200
_MOST_CHARACTERS = 200


class Action(StrEnum):
    """What becomes of a product."""

    CREATED = "created"
    CHANGED = "changed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, what it was and what it becomes; prices in units, long texts cut."""

    field: str
    old: object
    new: object

    def public(self) -> dict[str, Any]:
        """Show it as the API does."""
        return {"field": self.field, "from": self.old, "to": self.new}


@dataclass(frozen=True, slots=True)
class Difference:
    """What becomes of one product; a created one has no id in a dry run."""

    action: Action
    external_id: str
    product_id: int | None
    fields: Sequence[FieldChange] = ()

    def public(self) -> dict[str, Any]:
        """Show it as the API does."""
        return {
            "action": self.action,
            "external_id": self.external_id,
            "product_id": self.product_id,
            "fields": [change.public() for change in self.fields],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did; `reason` says why it changed nothing."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    refused: int = 0
    reason: str | None = None
    not_modified: bool = field(default=False, compare=False)
    differences: Sequence[Difference] = field(default=(), compare=False)
    refusals: Sequence[Refusal] = field(default=(), compare=False)

    def public(self) -> dict[str, Any]:
        """Show the counts as the API does."""
        return {
            "created": self.created,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "withdrawn": self.withdrawn,
            "refused": self.refused,
            "not_modified": self.not_modified,
            "reason": self.reason,
        }

    def public_details(self) -> dict[str, Any]:
        """Show the first differences and refusals as the API does, and how many there are more."""
        differing = self.created + self.changed + self.withdrawn
        return {
            "changes": [difference.public() for difference in self.differences],
            "changes_left_out": differing - len(self.differences),
            "refusals": [asdict(refusal) for refusal in self.refusals],
            "refusals_left_out": self.refused - len(self.refusals),
        }


class Tally:
    """Adds up a sync chunk by chunk; keeps no more differences than are listed."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self._refusals = refusals
        self._counts = dict.fromkeys(Action, 0)
        self._unchanged = 0
        self._listed: list[Difference] = []

    def add(self, differences: Sequence[Difference], *, looked_at: int) -> None:
        """Count a chunk of so many offers, of which these make a difference."""
        for difference in differences:
            self._counts[difference.action] += 1
        self._unchanged += looked_at - len(differences)
        self._listed += differences[: MOST_LISTED - len(self._listed)]

    def report(self) -> Report:
        """Tell what has been counted."""
        return Report(
            created=self._counts[Action.CREATED],
            changed=self._counts[Action.CHANGED],
            unchanged=self._unchanged,
            withdrawn=self._counts[Action.WITHDRAWN],
            refused=len(self._refusals),
            differences=self._listed,
            refusals=self._refusals[:MOST_LISTED],
        )


def field_change(name: str, old: object, new: object) -> FieldChange:
    """Tell of a column's change in the words of the API."""
    if name == "price_minor":
        return FieldChange("price", _units(old), _units(new))
    return FieldChange(name, _short(old), _short(new))


def _units(minor: object) -> float | None:
    return money.to_number(minor) if isinstance(minor, int) else None


def _short(value: object) -> object:
    if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
        return f"{value[: _MOST_CHARACTERS - 1]}…"
    return value
