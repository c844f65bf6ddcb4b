"""What every payment gateway can do, and the only answers it can give.

An outcome is yes, no or unknown. Unknown is anything that leaves a doubt about whether money moved:
it never gets a new key and is resolved by asking.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

# Any number of so many digits can be an id; others may keep longer ones there.
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """A charge exactly as it is sent, and sent again; `reference` is our order id."""

    key: str
    reference: str
    amount_minor: int
    currency: str
    token: str

    def as_document(self) -> dict[str, Any]:
        """Lay it out for storage."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read it back from storage."""
        return cls(**document)


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A refund exactly as it is sent, and sent again."""

    key: str
    charge_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Money moved, in the amount and currency asked for; `id` is the gateway's."""

    id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway refused, finally: no money moved and none will under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """For certain not executed (refused connection, 401, 403, 429): send the same again later."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether money moved.

    `charge_id` is what the gateway calls our charge, if it said so: the way to ask for it later.
    """

    reason: str
    charge_id: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """The gateway was asked and knows no such charge; its search may lag."""


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The gateway's search is silent, which proves nothing however often it is so.

    The same request may be sent again under its key; once keys are forgotten it is `Unknown`.
    """


@dataclass(frozen=True, slots=True)
class ListedCharge:
    """A charge that moved money, as the gateway's books have it; `key` only where they keep it."""

    id: str
    key: str | None
    reference: str
    amount_minor: int
    currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """A refund that moved money, as the gateway's books have it; `key` as for a charge."""

    id: str
    key: str | None
    charge_id: str
    amount_minor: int
    currency: str
    created_at: datetime


def order_id_of(reference: object) -> int | None:
    """Read which order a charge at the gateway names; None if it is none of ours."""
    if not isinstance(reference, str) or len(reference) > _MOST_DIGITS:
        return None
    return int(reference) if reference.isascii() and reference.isdecimal() else None


Answer = Succeeded | Declined | NotSent | Unknown
Found = Succeeded | Declined | Missing | Unknown


class PaymentGateway(Protocol):
    """A payment provider; every method may be called from many threads and never raises."""

    name: str
    max_in_flight: int

    def charge(self, request: ChargeRequest) -> Answer:
        """Take the money; the same key again is the same charge."""

    def find_charge(
        self, request: ChargeRequest, *, charge_id: str | None = None
    ) -> Found | Unlisted:
        """Look the charge of this request up, by its id where it has become known."""

    def refund(self, request: RefundRequest) -> Answer:
        """Give money back; the same key again is the same refund."""

    def find_refund(self, request: RefundRequest) -> Found:
        """Look the refund of this key up by its charge; an equal one may have another key."""

    def list_charges(self, since: datetime, until: datetime) -> list[ListedCharge] | Unknown:
        """List what was charged from `since` on and before `until`, by the gateway's clock."""

    def list_refunds(self, since: datetime, until: datetime) -> list[ListedRefund] | Unknown:
        """List what was given back from `since` on and before `until`, by the gateway's clock."""
