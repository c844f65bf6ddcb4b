"""Stripe: PaymentIntents confirmed at once and refunds, through the official SDK.

A charge's id is its PaymentIntent's. Nothing of the SDK leaves the modules named `stripe`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import stripe

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
from shop.gateways.stripe_answers import (
    FAILURES,
    Document,
    judge_failure,
    judge_intent,
    judge_refund,
    waits_for_the_buyer,
)
from shop.gateways.stripe_transport import Transport

API_BASE = "https://api.stripe.com"
# Answers keep this form until somebody reads the changelog and changes the line.
# Source: https://docs.stripe.com/changelog, 2026-11.
API_VERSION = "2026-10-28.endive"
PAGE_SIZE = 100
_TOKEN = "tok_"  # noqa: S105 - how the ids of card tokens begin


class StripeGateway:
    """Charges through one Stripe account; safe to use from many threads."""

    name = "stripe"
    # Source: https://docs.stripe.com/rate-limits (25 requests a second in test mode), 2026-11.
    max_in_flight = 20

    def __init__(
        self, api_key: str, *, api_base: str | None = None, timeout_s: float = 15.0
    ) -> None:
        # What machine we run on and how long calls take is nobody else's business.
        stripe.enable_telemetry = False
        base = (api_base or API_BASE).rstrip("/")
        client = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": base},
            max_network_retries=0,
            http_client=Transport(base, timeout_s=timeout_s, connections=self.max_in_flight),
        )
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds

    def charge(self, request: ChargeRequest) -> Answer:
        """Take the money; the same key again is the same charge."""
        try:
            options: stripe.RequestOptions = {"idempotency_key": request.key}
            intent = self._intents.create(_intent_of(request), options)
            return self._judge(intent.to_dict(), request)
        except FAILURES as error:
            return judge_failure(error)

    def find_charge(
        self, request: ChargeRequest, *, charge_id: str | None = None
    ) -> Found | Unlisted:
        """Look the charge up by its PaymentIntent's id, else by the key in its metadata.

        An id that Stripe denies is no proof either: the key may belong to another account.
        """
        try:
            if charge_id is not None:
                return self._judge(self._intents.retrieve(charge_id).to_dict(), request)
            query = f"metadata['key']:'{request.key}'"
            for intent in self._intents.search({"query": query, "limit": 10}).data:
                document = intent.to_dict()
                if document["metadata"].get("key") == request.key:
                    return self._judge(document, request)
        except FAILURES as error:
            return _look_up_failed(error)
        return Unlisted()

    def refund(self, request: RefundRequest) -> Answer:
        """Give money back; the same key again is the same refund."""
        try:
            refund = self._refunds.create(
                {
                    "payment_intent": request.charge_id,
                    "amount": request.amount_minor,
                    "metadata": {"key": request.key},
                },
                {"idempotency_key": request.key},
            )
            return judge_refund(refund.to_dict(), request)
        except FAILURES as error:
            return judge_failure(error)

    def find_refund(self, request: RefundRequest) -> Found:
        """Look a refund up in the list of its charge, which does not lag as a search does."""
        try:
            page = self._refunds.list({"payment_intent": request.charge_id, "limit": PAGE_SIZE})
            for refund in page.auto_paging_iter():
                document = refund.to_dict()
                if (document.get("metadata") or {}).get("key") == request.key:
                    return judge_refund(document, request)
        except FAILURES as error:
            return _look_up_failed(error)
        return Missing()

    def list_charges(self, since: datetime, until: datetime) -> list[ListedCharge] | Unknown:
        """List what was charged from `since` on and before `until`, by the gateway's clock."""
        try:
            page = self._intents.list({"created": _span(since, until), "limit": PAGE_SIZE})
            documents = (intent.to_dict() for intent in page.auto_paging_iter())
            return list(_listed_charges(documents))
        except FAILURES as error:
            return _look_up_failed(error)

    def list_refunds(self, since: datetime, until: datetime) -> list[ListedRefund] | Unknown:
        """List what was given back from `since` on and before `until`, by the gateway's clock."""
        try:
            page = self._refunds.list({"created": _span(since, until), "limit": PAGE_SIZE})
            documents = (refund.to_dict() for refund in page.auto_paging_iter())
            return list(_listed_refunds(documents))
        except FAILURES as error:
            return _look_up_failed(error)

    def _judge(self, intent: Document, request: ChargeRequest) -> Succeeded | Declined | Unknown:
        """Judge an intent; one that waits for its buyer is cancelled, and then it is declined."""
        judged = judge_intent(intent, request)
        ours = judged.charge_id if isinstance(judged, Unknown) else None
        if ours is None or not waits_for_the_buyer(intent):
            return judged
        try:
            cancelled = self._intents.cancel(ours).to_dict()
        except FAILURES:
            return judged
        after = judge_intent(cancelled, request)
        return Declined("authentication_required") if isinstance(after, Declined) else after


def _intent_of(request: ChargeRequest) -> Any:  # noqa: ANN401 - the SDK's own type
    token = request.token
    card: dict[str, Any] = {"payment_method": token}
    if token.startswith(_TOKEN):
        card = {"payment_method_data": {"type": "card", "card": {"token": token}}}
    return {
        "amount": request.amount_minor,
        "currency": request.currency.lower(),
        "confirm": True,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "metadata": {
            "order": request.reference,
            "reference": request.reference,
            "key": request.key,
        },
        **card,
    }


def _look_up_failed(error: Exception) -> Unknown:
    return Unknown(f"look-up failed: {type(error).__name__}")


def _span(since: datetime, until: datetime) -> Any:  # noqa: ANN401 - the SDK's own type
    return {"gte": int(since.timestamp()), "lt": int(until.timestamp())}


def _listed_charges(intents: Iterator[Document]) -> Iterator[ListedCharge]:
    for intent in intents:
        names: Mapping[str, str] = intent.get("metadata") or {}
        if intent["status"] == "succeeded":
            yield ListedCharge(
                id=intent["id"],
                key=names.get("key"),
                reference=names.get("reference", ""),
                amount_minor=intent["amount_received"],
                currency=intent["currency"].upper(),
                created_at=datetime.fromtimestamp(intent["created"], UTC),
            )


def _listed_refunds(refunds: Iterator[Document]) -> Iterator[ListedRefund]:
    for refund in refunds:
        if refund["status"] == "succeeded":
            names: Mapping[str, str] = refund.get("metadata") or {}
            yield ListedRefund(
                id=refund["id"],
                key=names.get("key"),
                charge_id=refund["payment_intent"],
                amount_minor=refund["amount"],
                currency=refund["currency"].upper(),
                created_at=datetime.fromtimestamp(refund["created"], UTC),
            )
