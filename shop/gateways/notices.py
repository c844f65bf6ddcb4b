"""What a webhook is about. Its content only says where to look: the gateway is asked for the rest.

Source: https://docs.stripe.com/api/events/types, 2026-11.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson

from infra.errors import Invalid
from shop.gateways.protocol import order_id_of

SIGNATURE_HEADERS: Mapping[str, str] = {
    "sandbox": "gateway-signature",
    "stripe": "stripe-signature",
}
LONGEST_ID = 255
LONGEST_TYPE = 100
_LONGEST_CHARGE_ID = 100


class Subject(StrEnum):
    """What an event is about."""

    CHARGE = "charge"
    REFUND = "refund"
    OTHER = "other"


class MalformedWebhook(Invalid):
    """The webhook is signed, and is no event all the same."""

    code = "malformed_webhook"

    def __init__(self) -> None:
        super().__init__("The body must be a JSON object with `id`, `type` and `data.object`.")


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of one gateway; `order_id` and `charge_id` where it names them."""

    gateway: str
    event_id: str
    type: str
    subject: Subject
    body_hash: str
    order_id: int | None = None
    charge_id: str | None = None


# Prefixes of types, and what they are about; all others are kept and not acted on.
_SUBJECTS: Mapping[str, Mapping[str, Subject]] = {
    "sandbox": {"charge.": Subject.CHARGE, "refund.": Subject.REFUND},
    "stripe": {
        "payment_intent.": Subject.CHARGE,
        "refund.": Subject.REFUND,
        "charge.refund": Subject.REFUND,
    },
}


def read_notice(gateway: str, body: bytes) -> Notice:
    """Read an event whose signature has been checked.

    Raises:
        MalformedWebhook: it has not the form of an event.
    """
    try:
        event = orjson.loads(body)
        event_id, kind, about = event["id"], event["type"], event["data"]["object"]
    except (ValueError, LookupError, TypeError):
        raise MalformedWebhook from None
    if not (_is_text(event_id, LONGEST_ID) and _is_text(kind, LONGEST_TYPE)):
        raise MalformedWebhook
    if not isinstance(about, dict):
        raise MalformedWebhook
    metadata = about.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    return Notice(
        gateway=gateway,
        event_id=event_id,
        type=kind,
        subject=_subject_of(gateway, kind),
        body_hash=sha256(body).hexdigest(),
        order_id=order_id_of(about.get("reference", names.get("reference"))),
        charge_id=_charge_id(about.get("payment_intent", about.get("charge"))),
    )


def _subject_of(gateway: str, kind: str) -> Subject:
    known = _SUBJECTS[gateway].items()
    return next((it for prefix, it in known if kind.startswith(prefix)), Subject.OTHER)


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest


def _charge_id(value: Any) -> str | None:  # noqa: ANN401 - whatever the event holds
    return value if _is_text(value, _LONGEST_CHARGE_ID) else None
