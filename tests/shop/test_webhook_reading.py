"""What is read of a webhook before anything is done: its signature and what it is about."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from shop.gateways import signatures
from shop.gateways.notices import MalformedWebhook, Subject, read_notice
from shop.gateways.signatures import BadSignature

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OURS, BODY = "whsec_ours_00000001", b'{"id": "evt_1"}'
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("age", [300 * SECOND, 0 * SECOND, -300 * SECOND])
def test_a_signature_of_the_last_five_minutes_is_accepted(age: timedelta) -> None:
    signatures.check(sign(BODY, at=NOW - age), BODY, secrets=[OURS], now=NOW)


@pytest.mark.parametrize("secrets", [["whsec_another_0002", OURS], [OURS, "whsec_another_0002"]])
def test_a_signature_of_either_secret_is_accepted(secrets: list[str]) -> None:
    signatures.check(sign(BODY), BODY, secrets=secrets, now=NOW)


def test_one_of_several_signatures_is_enough() -> None:
    stamp, _, theirs = sign(BODY, secret="whsec_of_tomorrow_04").partition(",")
    ours = sign(BODY).partition(",")[2]

    signatures.check(f"{stamp},{theirs},{ours}", BODY, secrets=[OURS], now=NOW)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda _: None, id="no header"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda body: sign(body, secret="whsec_another_0002"), id="another secret"),
        pytest.param(lambda body: sign(body, at=NOW - 301 * SECOND), id="too old"),
        pytest.param(lambda body: sign(body, at=NOW + 301 * SECOND), id="from the future"),
        pytest.param(lambda body: sign(body + b" "), id="another body"),
        pytest.param(lambda body: sign(body).replace("v1=", "v0="), id="another scheme"),
        pytest.param(lambda body: sign(body).replace("t=1", "t=01"), id="another time"),
        pytest.param(lambda body: f"t=1,{sign(body)}", id="two times"),
        pytest.param(lambda body: sign(body).partition(",")[2], id="no time"),
        pytest.param(lambda _: "t=" + "9" * 400 + ",v1=00", id="an endless time"),
        pytest.param(lambda _: "t=\u0661\u0667,v1=00", id="digits of another script"),
        pytest.param(lambda _: "v1=,,=,t", id="garbage"),
        pytest.param(lambda body: sign(body) + "\u00e9", id="no ASCII"),
        pytest.param(lambda body: sign(body)[:-1], id="a short signature"),
        pytest.param(lambda body: sign(body) + ",v1=00" * 50, id="many guesses"),
    ],
)
def test_everything_else_is_refused(forge: Callable[[bytes], str | None]) -> None:
    with pytest.raises(BadSignature):
        signatures.check(forge(BODY), BODY, secrets=[OURS], now=NOW)


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(BadSignature):
        signatures.check(sign(BODY), BODY, secrets=[], now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"17", b"{}", b"{", b"\xff",
        b'{"id": "evt_1", "type": "charge.succeeded", "data": {"object": []}}',
        b'{"id": "evt_1", "type": "charge.succeeded", "data": null}',
        b'{"id": "", "type": "charge.succeeded", "data": {"object": {}}}',
        b'{"id": "evt_1", "type": 5, "data": {"object": {}}}',
        b'{"id": "evt_1", "type": "' + b"x" * 101 + b'", "data": {"object": {}}}',
        b'{"id": "' + b"x" * 256 + b'", "type": "a", "data": {"object": {}}}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedWebhook):
        read_notice("sandbox", body)


@pytest.mark.parametrize(
    "reference", [None, 17, "", "-1", "1.0", "9" * 40, "\u0661\u0667", "17 ", ["17"], {"id": 17}]
)
def test_a_reference_that_is_no_order_number_names_no_order(reference: object) -> None:
    notice = read_notice("sandbox", event("charge.succeeded", reference=reference))

    assert notice.order_id is None


@pytest.mark.parametrize(
    ("gateway", "kind", "about", "subject", "order_id", "charge_id"),
    [
        ("sandbox", "charge.succeeded", {"reference": "17"}, Subject.CHARGE, 17, None),
        ("sandbox", "refund.succeeded", {"charge": "ch_1"}, Subject.REFUND, None, "ch_1"),
        ("sandbox", "charge", {"reference": "17"}, Subject.OTHER, 17, None),
        ("stripe", "payment_intent.succeeded", {"metadata": {"reference": "17"}},
         Subject.CHARGE, 17, None),
        ("stripe", "charge.refunded", {"payment_intent": "pi_1"}, Subject.REFUND, None, "pi_1"),
        ("stripe", "refund.updated", {"payment_intent": "pi_1", "charge": "ch_1"},
         Subject.REFUND, None, "pi_1"),
        ("stripe", "charge.succeeded", {"metadata": 5}, Subject.OTHER, None, None),
        ("stripe", "balance.available", {}, Subject.OTHER, None, None),
    ],
)  # fmt: skip
def test_an_event_says_where_to_look(
    gateway: str,
    kind: str,
    about: dict[str, Any],
    subject: Subject,
    order_id: int | None,
    charge_id: str | None,
) -> None:
    notice = read_notice(gateway, event(kind, **about))

    assert (notice.subject, notice.order_id, notice.charge_id) == (subject, order_id, charge_id)


def sign(body: bytes, *, secret: str = OURS, at: datetime = NOW) -> str:
    stamp = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, "sha256").hexdigest()
    return f"t={stamp},v1={digest}"


def event(kind: str, **about: object) -> bytes:
    return orjson.dumps({"id": "evt_1", "type": kind, "data": {"object": about}})
