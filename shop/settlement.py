"""Take the money of due payments: claim, act, settle.

Two short transactions with the gateway calls between them, none open across the network; while
there is more, the second claims what is called next. The intent, with its key, is committed before
the call; so a crash at any line leaves a row that says what may have happened, and the next run
asks, or repeats under the same key.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from infra import failpoints
from infra.db import Sessions, transact
from infra.logs import log
from infra.parallel import answer_groups
from shop import claiming, outcomes
from shop.claims import Answered, Claim
from shop.gateway_calls import Operation
from shop.gateways.protocol import (
    Answer,
    Missing,
    NotSent,
    PaymentGateway,
    Succeeded,
    Unknown,
    Unlisted,
)
from shop.stock import Handover

# What comes later than so after the last claim finds no lease any more.
DEADLINE_S = 28.0
BUDGET_S = 5.0
_TOO_LATE = NotSent("its turn came too late")
_ID_TAKEN = Unknown("the charge's id was used before")
_SILENT = Unknown("the gateway's search shows no such charge")


@dataclass(frozen=True, slots=True)
class Settler:
    """What settling works with; `ring_again` calls idle processes to help.

    Nothing new is claimed once a run has taken `budget_s`.
    """

    sessions: Sessions
    gateway: PaymentGateway
    ring_again: Callable[[], None]
    handover: Handover = field(default_factory=Handover)
    budget_s: float = BUDGET_S


def settle_due(settler: Settler, *, now: datetime | None = None) -> int:
    """Charge payments that are due, for about five seconds; return how many were settled.

    As many calls as the gateway takes at once are kept under way. Meanwhile answers are settled,
    and the next payments are claimed and wait for their turn.

    Safe to run anywhere and any number of times: a payment has one holder at a time.
    """
    token, ends_at, settled = str(uuid.uuid4()), time.monotonic() + settler.budget_s, 0

    def call(claim: Claim) -> Answer | Missing:
        return ask(settler.gateway, claim)

    size = settler.gateway.max_in_flight
    claims = _take(settler, token=token, limit=size, now=now)
    if claims:
        failpoints.reach("payments.claimed")
    # Fewer than were wanted were all there are, and what falls due from now on is rung for.
    has_more = len(claims) == size
    for group in answer_groups(call, claims, limit=size, deadline_s=DEADLINE_S):
        failpoints.reach("payments.charged")
        wanted = group.wanted if has_more and time.monotonic() <= ends_at else 0
        if not wanted:
            settled += _settle(settler, group, token=token, now=now)
            continue
        count, claims = _settle_and_take(settler, group, token=token, limit=wanted, now=now)
        settled += count
        has_more = len(claims) == wanted
        if claims:
            failpoints.reach("payments.claimed_ahead")
            group.go_on_with(claims)
    return settled


def _take(settler: Settler, *, token: str, limit: int, now: datetime | None) -> list[Claim]:
    """Claim payments and call for help, if there are more than we take."""

    def work(session: Session) -> list[Claim]:
        return claiming.claim(
            session, token=token, limit=limit, gateway=settler.gateway.name, now=now
        )

    claims = transact(settler.sessions, work)
    _call_for_help(settler, claims, limit)
    return claims


def _settle_and_take(
    settler: Settler, answered: Answered, *, token: str, limit: int, now: datetime | None
) -> tuple[int, list[Claim]]:
    """Write answers and claim the next payments, with one commit for both."""

    def work(session: Session) -> tuple[int, list[Claim]]:
        begins_s = time.monotonic()
        settled = _write(session, settler, answered, token=token, now=now)
        return settled, claiming.claim(
            session,
            token=token,
            limit=limit,
            gateway=settler.gateway.name,
            now=now,
            begins_s=begins_s,
        )

    try:
        settled, claims = transact(settler.sessions, work)
    except IntegrityError:
        settled = _settle(settler, answered, token=token, now=now)
        return settled, _take(settler, token=token, limit=limit, now=now)
    _call_for_help(settler, claims, limit)
    return settled, claims


def _call_for_help(settler: Settler, claims: Sequence[Claim], limit: int) -> None:
    """Have others join in: as many claims as were wanted mean that there are more."""
    if len(claims) == limit:
        settler.ring_again()


def _settle(settler: Settler, answered: Answered, *, token: str, now: datetime | None) -> int:
    """Write answers; one that cannot be written is in doubt and does not hold up the others."""

    def work(session: Session) -> int:
        return _write(session, settler, answered, token=token, now=now)

    try:
        return transact(settler.sessions, work)
    except IntegrityError:
        if len(answered) == 1 and answered[0][1] == _ID_TAKEN:
            raise
        log.error("charges_not_written", count=len(answered))
        # A charge id that belongs to another order already proves nothing about this one.
        doubted = [(answered[0][0], _ID_TAKEN)]
        alone = answered if len(answered) > 1 else doubted
        return sum(_settle(settler, [one], token=token, now=now) for one in alone)


def _write(
    session: Session, settler: Settler, answered: Answered, *, token: str, now: datetime | None
) -> int:
    return outcomes.settle(session, answered, token=token, handover=settler.handover, now=now)


def ask(gateway: PaymentGateway, claim: Claim) -> Answer | Missing:
    """Send a charge, or first look for it if it may have been sent before.

    Neither begins when the lease might end before its answer: then nothing was sent.
    """
    key = claim.request.key
    if time.monotonic() > claim.send_by_s:
        return _TOO_LATE
    if claim.sent_before:
        found = claim.log.timed(
            Operation.FIND_CHARGE,
            key,
            lambda: gateway.find_charge(claim.request, charge_id=claim.charge_id),
        )
        if not isinstance(found, Missing | Unlisted):
            return found
        if not claim.may_send:
            return _SILENT if isinstance(found, Unlisted) else found
    began_s = time.monotonic()
    if began_s > claim.send_by_s:
        return _TOO_LATE
    answer = gateway.charge(claim.request)
    # A first send that succeeds stands in its attempt.
    if claim.sent_before or not isinstance(answer, Succeeded):
        claim.log.add(Operation.CHARGE, key, answer, began_s=began_s)
    return answer
