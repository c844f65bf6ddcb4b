"""What callers ask of the gateway, checked field by field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from sandbox.gateway.cards import DEFAULT_TOKEN
from sandbox.wire import Refusal, Request

LONGEST_TEXT = 255
LARGEST_AMOUNT = 10**12
LARGEST_PAGE = 1000
_END_OF_TIME = "9999"


@dataclass(frozen=True, slots=True)
class ChargeAsked:
    """A wish to take money; the amount is in minor units."""

    reference: str
    amount: int
    currency: str
    token: str

    @property
    def fingerprint(self) -> bytes:
        """Return what tells this wish from another one under the same key."""
        return _fingerprint("charge", self.reference, str(self.amount), self.currency, self.token)


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """A wish to give money back; the amount is in minor units."""

    charge: str
    amount: int

    @property
    def fingerprint(self) -> bytes:
        """Return what tells this wish from another one under the same key."""
        return _fingerprint("refund", self.charge, str(self.amount))


def read_charge(request: Request) -> ChargeAsked:
    """Read the body of a charge.

    Raises:
        Refusal: 400, a field is missing or cannot be.
    """
    body = request.json_object()
    currency = _text(body, "currency")
    if not re.fullmatch("[A-Z]{3}", currency):
        raise _invalid("`currency` must be three upper-case letters.")
    return ChargeAsked(
        reference=_text(body, "reference"),
        amount=_amount(body),
        currency=currency,
        token=_text(body, "token") if "token" in body else DEFAULT_TOKEN,
    )


def read_refund(request: Request) -> RefundAsked:
    """Read the body of a refund.

    Raises:
        Refusal: 400, a field is missing or cannot be.
    """
    body = request.json_object()
    return RefundAsked(charge=_text(body, "charge"), amount=_amount(body))


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A page of a list: so many, after one, made in a span of time (ISO 8601, UTC)."""

    limit: int
    after: str
    since: str
    until: str


def read_page(request: Request) -> PageAsked:
    """Read which page of a list is wanted; without a span it is all of time.

    Raises:
        Refusal: 400, `limit`, `created_gte` or `created_lt` cannot be.
    """
    query = request.query
    return PageAsked(
        limit=read_limit(request),
        after=query.get("starting_after", ""),
        since=_instant(query.get("created_gte", ""), "created_gte"),
        until=_instant(query.get("created_lt", ""), "created_lt") or _END_OF_TIME,
    )


def read_key(request: Request) -> str:
    """Read the idempotency key.

    Raises:
        Refusal: 400, the header is missing or longer than 255 characters.
    """
    key = request.header("idempotency-key")
    if not key:
        raise Refusal(400, "idempotency_key_missing", "Send the header Idempotency-Key.")
    if len(key) > LONGEST_TEXT:
        raise _invalid("`Idempotency-Key` is longer than 255 characters.")
    return key


def read_limit(request: Request) -> int:
    """Read the size of a page, 100 unless told.

    Raises:
        Refusal: 400, not a whole number from 1 to 1000.
    """
    text = request.query.get("limit", "100")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:5]) <= LARGEST_PAGE):
        raise _invalid(f"`limit` must be a whole number from 1 to {LARGEST_PAGE}.")
    return int(text)


def check_authorization(request: Request) -> None:
    """Let any bearer token in; only none at all is refused.

    Raises:
        Refusal: 401, no bearer token.
    """
    scheme, _, token = request.header("authorization").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        header = (("www-authenticate", "Bearer"),)
        raise Refusal(401, "unauthenticated", "Send Authorization: Bearer <key>.", header)


def _instant(text: str, name: str) -> str:
    if text and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", text, re.ASCII):
        raise _invalid(f"`{name}` must look like 2026-01-31T00:00:00Z.")
    return text


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_TEXT:
        raise _invalid(f"`{name}` must be a text of 1 to {LONGEST_TEXT} characters.")
    return value


def _amount(body: Mapping[str, object]) -> int:
    value = body.get("amount")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_AMOUNT:
        raise _invalid("`amount` must be a whole number of minor units above 0.")
    return value


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request", message)


def _fingerprint(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(), digest_size=16).digest()
