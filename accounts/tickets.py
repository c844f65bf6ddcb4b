"""One-use tickets for those who cannot send a header: a browser's EventSource.

A ticket stands in a URL, which proxies and browsers write down, so it lives for seconds and counts
once. It is kept in Redis under its digest; losing it there costs a second click.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy.orm import Session

from accounts.callers import Caller, recall
from accounts.tokens import MAX_ID
from infra.cache import Cache
from infra.errors import Unauthenticated

LIFE_S = 30
LENGTH = 43
_BYTES = 32


class BadTicket(Unauthenticated):
    """The ticket was used before, is too old, or is not one of ours."""

    code = "ticket_invalid"

    def __init__(self) -> None:
        super().__init__("The ticket does not count (any more): get one with POST /events/tickets.")


@dataclass(frozen=True, slots=True)
class Holder:
    """For whom a ticket was made."""

    user_id: int
    family_id: str | None

    def recall(self, session: Session) -> Caller:
        """Find the caller as he is now.

        Raises:
            BadToken: his sign-in has ended, or he has no access any more.
        """
        return recall(session, user_id=self.user_id, family_id=self.family_id or "")


def issue(cache: Cache, caller: Caller) -> str:
    """Make a ticket for a caller.

    Raises:
        RedisDown: it cannot be kept.
    """
    ticket = secrets.token_urlsafe(_BYTES)
    holder: dict[str, object] = {"user_id": caller.user_id, "family_id": caller.family_id}
    cache.put(_key(ticket), holder, life_s=LIFE_S)
    return ticket


def redeem(cache: Cache, ticket: str) -> Holder:
    """Use a ticket up, and tell for whom it was made.

    Raises:
        BadTicket: it does not count.
        RedisDown: nobody knows.
    """
    found = cache.take(_key(ticket))
    if found is None:
        raise BadTicket
    user_id, family_id = found.get("user_id"), found.get("family_id")
    # Whoever wrote anything else, it was not we.
    if type(user_id) is not int or not 0 < user_id <= MAX_ID:
        raise BadTicket
    if not isinstance(family_id, str | None):
        raise BadTicket
    return Holder(user_id, family_id)


def _key(ticket: str) -> str:
    return f"ticket:{sha256(ticket.encode()).hexdigest()}"
