"""What Stripe's objects and errors say, as yes, no or unknown.

Source: https://docs.stripe.com/payments/paymentintents/lifecycle and
https://docs.stripe.com/error-codes, 2026-11.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import stripe

from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Declined,
    NotSent,
    RefundRequest,
    Succeeded,
    Unknown,
)

Document = Mapping[str, Any]

LONGEST_ID = 100
TOO_MUCH = Declined("refund_exceeds_charge")
# Everything that reading an answer may raise, from the SDK and from what it builds of bad JSON.
FAILURES = (
    stripe.StripeError,
    httpx.HTTPError,
    httpx.InvalidURL,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
_NOT_ANSWERED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_EXECUTED = (stripe.AuthenticationError, stripe.PermissionError, stripe.RateLimitError)
# The request was read and refused before anything was done: a card or amount that cannot be.
_IMPOSSIBLE = frozenset({"token_already_used", "amount_too_small", "amount_too_large"})
_NEEDS_THE_BUYER = frozenset({"requires_action", "requires_confirmation"})


def judge_intent(intent: Document, request: ChargeRequest) -> Succeeded | Declined | Unknown:
    """Say what a PaymentIntent means for the charge that was asked for.

    One that waits for its buyer is unknown: only who has cancelled it may call it declined.
    """
    charge_id = _id_of(intent)
    metadata = intent.get("metadata") or {}
    if charge_id is None or metadata.get("key") != request.key:
        return Unknown("the answer is about another charge")
    expected = {
        "amount": request.amount_minor,
        "currency": request.currency.lower(),
    }
    different = [name for name, value in expected.items() if intent.get(name) != value]
    if metadata.get("reference") != request.reference:
        different.append("reference")
    status = intent.get("status")
    if status == "succeeded" and intent.get("amount_received") != request.amount_minor:
        different.append("amount_received")
    if different:
        return Unknown(f"the gateway's answer differs in {', '.join(different)}", charge_id)
    if status == "succeeded":
        return Succeeded(charge_id)
    if status == "canceled":
        return Declined(str(intent.get("cancellation_reason") or "canceled"))
    if status == "requires_payment_method" and (refusal := intent.get("last_payment_error")):
        return Declined(_reason(refusal))
    return Unknown(f"the charge is {status}", charge_id)


def waits_for_the_buyer(intent: Document) -> bool:
    """Tell whether it would take the buyer's authentication to go on, for which nobody is here."""
    return intent.get("status") in _NEEDS_THE_BUYER


def judge_refund(refund: Document, request: RefundRequest) -> Succeeded | Declined | Unknown:
    """Say what a Refund object means for the refund that was asked for."""
    refund_id = _id_of(refund)
    metadata = refund.get("metadata") or {}
    if refund_id is None or metadata.get("key") != request.key:
        return Unknown("the answer is about another refund")
    expected = {
        "payment_intent": request.charge_id,
        "amount": request.amount_minor,
        "currency": request.currency.lower(),
    }
    different = [name for name, value in expected.items() if refund.get(name) != value]
    if different:
        return Unknown(f"the gateway's answer differs in {', '.join(different)}")
    status = refund.get("status")
    if status == "succeeded":
        return Succeeded(refund_id)
    if status in ("failed", "canceled"):
        return Declined(str(refund.get("failure_reason") or status))
    return Unknown(f"the refund is {status}")


def judge_failure(error: Exception) -> Answer:
    """Say what a failed POST means: what is not surely refused or never sent is in doubt."""
    if isinstance(error, (*_NOT_ANSWERED, *_NOT_EXECUTED)):
        return NotSent(type(error).__name__)
    if isinstance(error, stripe.CardError) and error.code:
        return Declined(_reason(_error_document(error)))
    if isinstance(error, stripe.InvalidRequestError):
        return _judge_refusal(error)
    status = getattr(error, "http_status", None)
    said = f"the gateway answered {status}" if status else type(error).__name__
    return Unknown(said)


def _judge_refusal(error: stripe.InvalidRequestError) -> Answer:
    param = error.param or ""
    if error.code == "resource_missing" and param.startswith("payment_method"):
        return Declined("unknown_token")
    if error.code == "charge_already_refunded" or (error.code is None and param == "amount"):
        return TOO_MUCH
    if error.code in _IMPOSSIBLE:
        return Declined(error.code)
    return Unknown(f"the gateway answered {error.http_status} {error.code}")


def _error_document(error: stripe.CardError) -> Document:
    body = error.json_body
    document = body.get("error") if isinstance(body, dict) else None
    return document if isinstance(document, dict) else {"code": error.code}


def _reason(refusal: Document) -> str:
    return str(refusal.get("decline_code") or refusal.get("code") or "card_declined")


def _id_of(document: Document) -> str | None:
    made_id = document.get("id")
    return made_id if isinstance(made_id, str) and 0 < len(made_id) <= LONGEST_ID else None
