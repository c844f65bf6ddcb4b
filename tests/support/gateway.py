"""A payment gateway in memory, which does what a test tells it and keeps books to judge by."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Declined,
    Found,
    ListedCharge,
    ListedRefund,
    Missing,
    RefundRequest,
    Succeeded,
    Unknown,
    Unlisted,
)
from tests.support import sandbox

LOST = Unknown("the answer was lost")
_HELD_AT_MOST_S = 30.0
_DECLINES: Mapping[str, str] = {
    "tok_declined": "generic_decline",
    "tok_insufficient_funds": "insufficient_funds",
    "tok_expired": "expired_card",
}
# Where in time the tests of the shop are.
_NOON = datetime(2100, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class _Charge:
    id: str
    request: ChargeRequest
    taken: int
    answer: Answer
    made_at: datetime


@dataclass(frozen=True)
class _Refund:
    id: str
    request: RefundRequest
    made_at: datetime


class FakeGateway:
    """Charges once per key, as the real ones do; knows the sandbox's test cards."""

    name = "fake"

    def __init__(self, *, max_in_flight: int = 200) -> None:
        self.max_in_flight = max_in_flight
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.now = _NOON
        self.takes_s = 0.0
        self._charges: dict[str, _Charge] = {}
        self._refunds: dict[str, _Refund] = {}
        self._refused: dict[str, Declined] = {}
        self._next: deque[Answer | None] = deque()
        self._next_found: deque[Found | Unlisted] = deque()
        self._held: dict[str, threading.Event] = {}
        self._breaks: set[str] = set()
        self._books = threading.Lock()

    def answer_next(self, answer: Answer, *, times: int = 1) -> None:
        """Give the next charges or refunds this answer; no money moves."""
        self._next.extend([answer] * times)

    def lose_next_answer(self) -> None:
        """Move the money of the next charge or refund, and let nobody hear of it."""
        self._next.append(None)

    def find_next(self, found: Found | Unlisted) -> None:
        """Give the next look-up this answer, whatever the books say."""
        self._next_found.append(found)

    def hold(self, key: str) -> threading.Event:
        """Keep the next charge or refund under this key waiting until the event is set."""
        return self._held.setdefault(key, threading.Event())

    def break_on(self, key: str) -> None:
        """Raise whenever this key comes, as no gateway may: a bug."""
        self._breaks.add(key)

    def mend(self) -> None:
        """Break on no key any more."""
        self._breaks.clear()

    def captured(self) -> dict[str, int]:
        """Tell what was taken under each key."""
        return {key: charge.taken for key, charge in self._charges.items()}

    def given_back(self) -> dict[str, int]:
        """Tell what was given back under each key."""
        return {key: refund.request.amount_minor for key, refund in self._refunds.items()}

    def charge(self, request: ChargeRequest) -> Answer:
        """Take the money; the same key again is the same charge."""
        self._wait(request.key)
        answer = self._charge(request)
        time.sleep(self.takes_s)
        return answer

    def _charge(self, request: ChargeRequest) -> Answer:
        with self._books:
            self.sent.append(request.key)
            if not self._next:
                return self._charge_once(request)
            told = self._next.popleft()
            if told is None:
                self._charge_once(request)
            return told or LOST

    def find_charge(
        self,
        request: ChargeRequest,
        *,
        charge_id: str | None = None,  # noqa: ARG002 - the books by key are complete
    ) -> Found | Unlisted:
        """Look the charge of this request up by its reference."""
        with self._books:
            self.asked.append(request.key)
            self._break(request.key)
            if self._next_found:
                return self._next_found.popleft()
            charge = self._charges.get(request.key)
            if charge is None or charge.request.reference != request.reference:
                return Missing()
            return _confirmed(charge)

    def refund(self, request: RefundRequest) -> Answer:
        """Give money back; the same key again is the same refund."""
        self._wait(request.key)
        with self._books:
            self.sent.append(request.key)
            if not self._next:
                return self._refund_once(request)
            told = self._next.popleft()
            if told is None:
                self._refund_once(request)
            return told or LOST

    def find_refund(self, request: RefundRequest) -> Found:
        """Look a refund up by its charge."""
        with self._books:
            self.asked.append(request.key)
            self._break(request.key)
            if self._next_found:
                told = self._next_found.popleft()
                assert not isinstance(told, Unlisted), "refunds are listed by their charge"
                return told
            refund = self._refunds.get(request.key)
            return Succeeded(refund.id) if refund else Missing()

    def list_charges(self, since: datetime, until: datetime) -> list[ListedCharge]:
        """List what was charged in a span of time."""
        return [
            ListedCharge(
                charge.id,
                key,
                charge.request.reference,
                charge.taken,
                charge.request.currency,
                charge.made_at,
            )
            for key, charge in self._charges.items()
            if since <= charge.made_at < until
        ]

    def list_refunds(self, since: datetime, until: datetime) -> list[ListedRefund]:
        """List what was given back in a span of time."""
        return [
            ListedRefund(
                refund.id,
                key,
                refund.request.charge_id,
                refund.request.amount_minor,
                refund.request.currency,
                refund.made_at,
            )
            for key, refund in self._refunds.items()
            if since <= refund.made_at < until
        ]

    def ledger(self) -> sandbox.Ledger:
        """Show the books in the form that the checks of invariants read."""
        return sandbox.Ledger(
            charges=[
                sandbox.Charge(
                    id=charge.id,
                    reference=charge.request.reference,
                    idempotency_key=key,
                    amount=charge.taken,
                    currency=charge.request.currency,
                    status="succeeded",
                    created_at=charge.made_at,
                )
                for key, charge in self._charges.items()
            ],
            refunds=[
                sandbox.Refund(
                    id=refund.id,
                    charge=refund.request.charge_id,
                    amount=refund.request.amount_minor,
                    created_at=refund.made_at,
                    idempotency_key=key,
                )
                for key, refund in self._refunds.items()
            ],
        )

    def forget_orders(self) -> None:
        """Do nothing special any more, whatever was not used of it."""
        self._next.clear()
        self._next_found.clear()

    def forget(self, key: str) -> None:
        """Lose a charge or a refund from the books."""
        self._charges.pop(key, None)
        self._refunds.pop(key, None)

    def _wait(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            held.wait(_HELD_AT_MOST_S)
        self._break(key)

    def _break(self, key: str) -> None:
        if key in self._breaks:
            raise ZeroDivisionError(key)

    def _charge_once(self, request: ChargeRequest) -> Answer:
        if request.key in self._refused:
            return self._refused[request.key]
        if request.key not in self._charges:
            if reason := _DECLINES.get(request.token):
                return self._refused.setdefault(request.key, Declined(reason))
            self._charges[request.key] = self._take(request)
        charge = self._charges[request.key]
        return charge.answer if charge.request == request else Unknown("key reused")

    def _take(self, request: ChargeRequest) -> _Charge:
        charge_id = f"ch_{request.key}"
        wrong = request.token == "tok_wrong_amount"
        taken = request.amount_minor + 1 if wrong else request.amount_minor
        answers: dict[str, Answer] = {
            "tok_wrong_amount": Unknown("another amount"),
            "tok_500": LOST,
        }
        answer = answers.get(request.token, Succeeded(charge_id))
        return _Charge(charge_id, request, taken, answer, self.now)

    def _refund_once(self, request: RefundRequest) -> Answer:
        kept = self._refunds.get(request.key)
        if kept is not None:
            return Succeeded(kept.id) if kept.request == request else Unknown("key reused")
        charge = next((it for it in self._charges.values() if it.id == request.charge_id), None)
        if charge is None:
            return Unknown("no such charge")
        before = [it.request for it in self._refunds.values()]
        gone = sum(it.amount_minor for it in before if it.charge_id == charge.id)
        if gone + request.amount_minor > charge.taken:
            return Declined("refund_exceeds_charge")
        made = self._refunds[request.key] = _Refund(f"re_{request.key}", request, self.now)
        return Succeeded(made.id)


def _confirmed(charge: _Charge) -> Found:
    if charge.taken != charge.request.amount_minor:
        return Unknown("another amount")
    return Succeeded(charge.id)
