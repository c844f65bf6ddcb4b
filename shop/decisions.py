"""What a person says about money in doubt, and what the gateway says to that.

A person who has looked at the gateway's dashboard knows more than we do, but may have looked at
another line of it. So the gateway is asked before anything is written, and is believed where the
two differ; only where it says nothing clear does the person's word alone count, if it is meant to.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from infra.db import Sessions, transact
from infra.errors import Conflict, NotFound
from shop.gateway_calls import CallLog, Operation
from shop.gateways.protocol import (
    Answer,
    Declined,
    Missing,
    NotSent,
    PaymentGateway,
    Succeeded,
    Unknown,
    Unlisted,
)

T = TypeVar("T")

# A request whose answer we gave up may still be at work there, and a search lags by a minute.
QUIET_FOR = timedelta(minutes=5)


class NotInDoubt(Conflict):
    """It is known what became of it, or somebody is finding out."""

    code = "not_in_doubt"

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"Nothing about {what} {number} is in doubt: there is nothing to settle.")


class BeingAsked(Conflict):
    """The gateway is being asked about it right now."""

    code = "being_asked"

    def __init__(self, what: str, number: int) -> None:
        super().__init__(
            f"The gateway is being asked about {what} {number} right now: try again in half a "
            "minute, if it is still in doubt then."
        )


class IdTaken(Conflict):
    """The gateway's id belongs to another charge of ours."""

    code = "id_taken"

    def __init__(self, gateway_id: str) -> None:
        super().__init__(f"{gateway_id} is the charge of another order.")


class RefundNotFound(NotFound):
    """No such refund."""

    code = "refund_not_found"

    def __init__(self, refund_id: int) -> None:
        super().__init__(f"There is no refund {refund_id}.", refund_id=refund_id)


class TooFresh(Conflict):
    """It was sent so recently that it may yet be made."""

    code = "too_fresh"

    def __init__(self, key: str, until: datetime) -> None:
        super().__init__(
            f"{key} was sent a moment ago and may still be under way at the gateway: nobody can "
            f"say before {until:%H:%M:%S} UTC that it was not made."
        )


class GatewayDisagrees(Conflict):
    """The gateway says something else than the person."""

    code = "gateway_disagrees"

    def __init__(self, key: str, said: str) -> None:
        super().__init__(
            f"The gateway says of {key}: {said}. Nothing was written; `tradepost payments ask` "
            "has it written as the gateway says."
        )


class NotConfirmed(Conflict):
    """The gateway says neither yes nor no."""

    code = "not_confirmed"

    def __init__(self, key: str, said: str) -> None:
        super().__init__(
            f"The gateway neither confirms nor denies {key}: {said}. Nothing was written; add "
            "--unconfirmed if you are sure all the same."
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A person has found it at the gateway, under this id."""

    gateway_id: str
    why: str
    by: str

    @property
    def reason(self) -> str:
        """Who knows it, and how."""
        return f"{self.by}: {self.why}"


@dataclass(frozen=True, slots=True)
class NotMade:
    """A person has made sure that it never was, and never will be."""

    why: str
    by: str

    @property
    def reason(self) -> str:
        """Who knows it, and how."""
        return f"{self.by}: {self.why}"


Said = Answer | Missing | Unlisted
Look = Callable[[PaymentGateway], Said]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a decision is checked and written with; what is decided goes through `audited`.

    Without a gateway, or with another than took the money, nothing can be asked. `unconfirmed`
    says that the person is sure also where the gateway gives no clear answer.
    """

    sessions: Sessions
    audited: Sessions
    gateway: PaymentGateway | None
    unconfirmed: bool = False

    def decide(
        self,
        take: Callable[[Session], T],
        ask: Callable[[T], None],
        write: Callable[[Session, T], None],
        let_go: Callable[[Session, T], None],
    ) -> None:
        """Take something under a lease, ask the gateway about it, and write what was decided.

        If the answer, or the lack of one, forbids it, it is let go for the workers.
        """
        taken = transact(self.sessions, take)
        try:
            ask(taken)
        except Conflict:
            transact(self.sessions, lambda session: let_go(session, taken))
            raise
        transact(self.audited, lambda session: write(session, taken))

    def ask(self, log: CallLog, operation: Operation, key: str, *, of: str, look: Look) -> Said:
        """Ask the gateway of this name; where that cannot be, nothing clear was said."""
        gateway = self.gateway
        if gateway is None or gateway.name != of:
            return Unknown(f"the gateway {of} is not configured here")
        return log.timed(operation, key, lambda: look(gateway))

    def confirm(self, key: str, decision: Found | NotMade, said: Said) -> None:
        """Let a decision pass that the gateway confirms, or leaves to a person who is sure.

        Raises:
            GatewayDisagrees: it says otherwise, however sure the person is.
            NotConfirmed: it says nothing clear.
        """
        match said:
            case Unknown(reason=reason) | NotSent(reason=reason):
                self._need_to_be_sure(key, reason)
            case Unlisted():
                self._need_to_be_sure(key, "its search shows nothing, which proves nothing")
            case Succeeded(id=made_id):
                if not isinstance(decision, Found) or decision.gateway_id != made_id:
                    raise GatewayDisagrees(key, f"it was made, as {made_id}")
            case Declined(reason=reason) if isinstance(decision, Found):
                raise GatewayDisagrees(key, f"it was refused ({reason})")
            case Missing() if isinstance(decision, Found):
                raise GatewayDisagrees(key, "there is none")

    def _need_to_be_sure(self, key: str, reason: str) -> None:
        if not self.unconfirmed:
            raise NotConfirmed(key, reason)


def check_rest(key: str, *, sent_at: datetime | None, at: datetime) -> None:
    """Make sure that nothing sent a moment ago can still be made at the gateway.

    Raises:
        TooFresh: it can.
    """
    if sent_at is not None and at < sent_at + QUIET_FOR:
        raise TooFresh(key, sent_at + QUIET_FOR)
