"""The test cards: what each payment token makes the gateway do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """How a card behaves; a card with neither a decline code nor a fault simply pays."""

    decline_code: str | None = None
    fault: str | None = None
    delay_s: float = 0.0


DEFAULT_TOKEN = "tok_visa"  # noqa: S105 - a published test token
PAYS = Card()
_CARDS = {
    DEFAULT_TOKEN: PAYS,
    "tok_declined": Card(decline_code="generic_decline"),
    "tok_insufficient_funds": Card(decline_code="insufficient_funds"),
    "tok_expired": Card(decline_code="expired_card"),
    "tok_slow": Card(delay_s=2.0),
    "tok_hang": Card(fault="charge_then_hang"),
    "tok_500": Card(fault="charge_then_500"),
    "tok_wrong_amount": Card(fault="wrong_amount"),
    "tok_wrong_currency": Card(fault="wrong_currency"),
    "tok_id_used": Card(fault="id_used"),
    "tok_conflict": Card(fault="conflict"),
    "tok_no_answer": Card(fault="hang"),
    "tok_http_500": Card(fault="http_500"),
    "tok_http_429": Card(fault="http_429"),
    "tok_garbage": Card(fault="garbage"),
    "tok_html": Card(fault="html"),
    "tok_refused": Card(fault="refused"),
    "tok_webhook_first": Card(fault="webhook_first"),
    "tok_webhook_twice": Card(fault="webhook_twice"),
    "tok_webhook_late": Card(fault="webhook_late"),
    "tok_webhook_forged": Card(fault="webhook_forged"),
}
_UNKNOWN = Card(decline_code="unknown_token")


def card_of(token: str) -> Card:
    """Return the card behind a token; a token nobody issued is a card that is always declined."""
    return _CARDS.get(token, _UNKNOWN)
