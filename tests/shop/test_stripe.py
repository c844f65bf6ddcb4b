"""Stripe's client turns everything that Stripe may answer into yes, no or unknown."""

import subprocess
import uuid
from typing import Any

import orjson
import pytest

from infra.db import Database
from infra.errors import Misconfigured
from infra.settings import Settings
from shop.gateways.choice import open_gateway
from shop.gateways.protocol import (
    ChargeRequest,
    Declined,
    NotSent,
    RefundRequest,
    Succeeded,
    Unknown,
    Unlisted,
)
from shop.gateways.stripe import StripeGateway
from tests.shop.canned import CannedServer
from tests.shop.stage import NOON, Shop
from tests.support.processes import PYTHON, ROOT, clean_environment, eventually, free_port
from tests.support.stripe_front import API_KEY, StripeFront

IMPATIENT_S = 0.4
INTENT: dict[str, Any] = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 4200,
    "amount_received": 4200,
    "currency": "usd",
    "status": "succeeded",
    "metadata": {"order": "17", "reference": "17", "key": "17:1"},
}
REFUND: dict[str, Any] = {
    "id": "re_1",
    "object": "refund",
    "payment_intent": "pi_1",
    "amount": 4200,
    "currency": "usd",
    "status": "succeeded",
    "metadata": {"key": "refund:17:1:1"},
}
ASKED = RefundRequest("refund:17:1:1", "pi_1", 4200, "USD")


@pytest.fixture
def asked(canned: CannedServer) -> StripeGateway:
    """A client whose every call gets the canned answer."""
    return StripeGateway(API_KEY, api_base=canned.url)


def test_a_charge_under_way_is_asked_for_by_its_id(
    stripe_front: StripeFront, stripe_gateway: StripeGateway
) -> None:
    charge = _charge(token="tok_processing")

    answer = stripe_gateway.charge(charge)

    assert isinstance(answer, Unknown)
    assert answer.charge_id is not None
    stripe_front.search_is_silent = True
    assert stripe_gateway.find_charge(charge, charge_id=answer.charge_id) == answer
    stripe_front.finish()
    made = stripe_gateway.find_charge(charge, charge_id=answer.charge_id)
    assert made == Succeeded(answer.charge_id)


def test_a_card_that_needs_its_holder_is_declined_and_the_intent_cancelled(
    stripe_front: StripeFront, stripe_gateway: StripeGateway
) -> None:
    charge = _charge(token="tok_authenticate")

    answer = stripe_gateway.charge(charge)

    assert answer == Declined("authentication_required")
    assert stripe_gateway.find_charge(charge) == Declined("requested_by_customer")
    assert [it["status"] for it in stripe_front.intents_of(charge.reference)] == ["canceled"]


def test_a_token_nobody_issued_is_declined(stripe_gateway: StripeGateway) -> None:
    assert stripe_gateway.charge(_charge(token="tok_nobodys")) == Declined("unknown_token")


def test_a_charge_without_an_answer_in_time_is_unknown_and_made(
    stripe_front: StripeFront, stripe_gateway: StripeGateway
) -> None:
    impatient = StripeGateway(API_KEY, api_base=stripe_front.url, timeout_s=IMPATIENT_S)
    stripe_front.hangs.set()

    answer = impatient.charge(charge := _charge())

    assert answer == Unknown("ReadTimeout")
    eventually(lambda: isinstance(stripe_gateway.find_charge(charge), Succeeded))


def test_a_silent_search_is_no_answer(
    stripe_front: StripeFront, stripe_gateway: StripeGateway
) -> None:
    made = stripe_gateway.charge(charge := _charge())
    stripe_front.search_is_silent = True

    assert stripe_gateway.find_charge(charge) == Unlisted()
    assert stripe_gateway.charge(charge) == made
    assert len(stripe_front.intents_of(charge.reference)) == 1


def test_an_id_that_stripe_denies_is_no_answer(stripe_gateway: StripeGateway) -> None:
    assert isinstance(stripe_gateway.find_charge(_charge(), charge_id="pi_nobodys"), Unknown)


def test_a_refused_connection_means_not_sent() -> None:
    nobody = StripeGateway(API_KEY, api_base=f"http://127.0.0.1:{free_port()}")

    assert nobody.charge(_charge()) == NotSent("ConnectError")
    assert isinstance(nobody.find_charge(_charge()), Unknown)


def test_a_wrong_key_means_not_sent(stripe_front: StripeFront) -> None:
    stranger = StripeGateway("sk_test_of_somebody_else", api_base=stripe_front.url)

    assert isinstance(stranger.charge(_charge()), NotSent)


@pytest.mark.parametrize(
    ("status", "error", "answer"),
    [
        pytest.param(401, {}, NotSent("AuthenticationError"), id="wrong key"),
        pytest.param(403, {}, NotSent("PermissionError"), id="no permission"),
        pytest.param(429, {"code": "rate_limit"}, NotSent("RateLimitError"), id="too many"),
        pytest.param(402, {"code": "card_declined", "decline_code": "lost_card"},
                     Declined("lost_card"), id="a decline code"),
        pytest.param(402, {"code": "expired_card"}, Declined("expired_card"), id="expired"),
        pytest.param(402, {"code": "authentication_required"},
                     Declined("authentication_required"), id="authentication"),
        pytest.param(402, {}, Unknown("the gateway answered 402"), id="refused without a word"),
        pytest.param(400, {"code": "amount_too_small", "param": "amount"},
                     Declined("amount_too_small"), id="too small"),
        pytest.param(400, {"code": "parameter_unknown", "param": "x"},
                     Unknown("the gateway answered 400 parameter_unknown"), id="a bug of ours"),
        pytest.param(400, {"type": "idempotency_error"},
                     Unknown("the gateway answered 400"), id="the key used otherwise"),
        pytest.param(409, {"code": "idempotency_key_in_use"},
                     Unknown("the gateway answered 409"), id="the key in use"),
        pytest.param(500, {"type": "api_error"}, Unknown("the gateway answered 500"), id="broken"),
        pytest.param(503, {}, Unknown("the gateway answered 503"), id="out of service"),
    ],
)  # fmt: skip
def test_an_error_is_classified(
    canned: CannedServer, asked: StripeGateway, status: int, error: Any, answer: object
) -> None:
    canned.answer(status, orjson.dumps({"error": error}))

    assert asked.charge(_charge("17")) == answer
    assert isinstance(asked.find_charge(_charge("17")), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no fields"),
        pytest.param(b"17", id="a number"),
        pytest.param(b"<html>", id="a page"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param(b'{"object": []}', id="an impossible kind"),
        pytest.param(b'{"object": "payment_intent", "metadata": 5}', id="impossible metadata"),
    ],
)
@pytest.mark.parametrize("status", [200, 302, 502])
def test_an_answer_that_proves_nothing_is_unknown(
    canned: CannedServer, asked: StripeGateway, status: int, body: bytes
) -> None:
    canned.answer(status, body, headers={"Location": canned.url})

    assert isinstance(asked.charge(_charge("17")), Unknown)
    assert isinstance(asked.find_charge(_charge("17"), charge_id="pi_1"), Unknown)
    assert isinstance(asked.refund(ASKED), Unknown)


@pytest.mark.parametrize(
    ("difference", "charge_id"),
    [
        ({"amount": 4201}, "pi_1"),
        ({"amount_received": 4100}, "pi_1"),
        ({"currency": "eur"}, "pi_1"),
        ({"metadata": {"reference": "18", "key": "17:1"}}, "pi_1"),
        ({"metadata": {"reference": "17", "key": "17:2"}}, None),
        ({"metadata": {}}, None),
        ({"id": ""}, None),
        ({"id": "x" * 101}, None),
        ({"status": "processing"}, "pi_1"),
        ({"status": "requires_capture"}, "pi_1"),
        ({"status": "requires_payment_method", "last_payment_error": None}, "pi_1"),
        ({"status": "something_new"}, "pi_1"),
    ],
)
def test_an_intent_that_is_not_what_was_asked_for_is_unknown(
    canned: CannedServer, asked: StripeGateway, difference: dict[str, Any], charge_id: str | None
) -> None:
    canned.answer(200, orjson.dumps({**INTENT, **difference}))

    answer = asked.charge(_charge("17"))

    assert isinstance(answer, Unknown)
    assert answer.charge_id == charge_id


def test_an_intent_that_cannot_be_cancelled_is_unknown(
    canned: CannedServer, asked: StripeGateway
) -> None:
    canned.answer(200, orjson.dumps({**INTENT, "status": "requires_action"}))

    assert asked.charge(_charge("17")) == Unknown("the charge is requires_action", "pi_1")


@pytest.mark.parametrize(
    ("difference", "answer"),
    [
        ({}, Succeeded("re_1")),
        ({"status": "failed", "failure_reason": "lost_or_stolen_card"},
         Declined("lost_or_stolen_card")),
        ({"status": "canceled"}, Declined("canceled")),
        ({"status": "pending"}, Unknown("the refund is pending")),
        ({"amount": 1}, Unknown("the gateway's answer differs in amount")),
        ({"payment_intent": "pi_2"}, Unknown("the gateway's answer differs in payment_intent")),
        ({"currency": "eur"}, Unknown("the gateway's answer differs in currency")),
        ({"metadata": {"key": "another"}}, Unknown("the answer is about another refund")),
    ],
)  # fmt: skip
def test_a_refund_is_judged(
    canned: CannedServer, asked: StripeGateway, difference: dict[str, Any], answer: object
) -> None:
    canned.answer(200, orjson.dumps({**REFUND, **difference}))

    assert asked.refund(ASKED) == answer


def test_a_charge_under_way_is_paid_once_and_its_id_kept(
    database: Database, stripe_front: StripeFront, stripe_gateway: StripeGateway
) -> None:
    shop = Shop(database, stripe_gateway)
    order_id = shop.place_one(token="tok_processing")
    shop.settle(now=NOON)
    kept = shop.attempt(order_id).charge_id
    stripe_front.search_is_silent = True

    stripe_front.finish()

    shop.settle(now=NOON.replace(minute=1))

    assert shop.status(order_id) == "paid"
    assert [it["id"] for it in stripe_front.intents_of(str(order_id))] == [kept]


def test_stripe_without_a_key_cannot_be_opened() -> None:
    with pytest.raises(Misconfigured, match="STRIPE_API_KEY"):
        open_gateway(Settings(payment_gateway="stripe"))


def test_stripe_is_opened_with_a_key() -> None:
    settings = Settings(payment_gateway="stripe", stripe_api_key="sk_test_1")

    gateway = open_gateway(settings)

    assert (gateway.name, gateway.max_in_flight) == ("stripe", 20)


def test_the_api_does_without_the_sdk() -> None:
    look = "import sys, api.main; sys.exit('stripe' in sys.modules)"

    done = subprocess.run(
        [PYTHON, "-c", look], cwd=ROOT, env=clean_environment({}), capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr


def _charge(reference: str = "", *, token: str = "tok_visa") -> ChargeRequest:
    reference = reference or uuid.uuid4().hex
    return ChargeRequest(f"{reference}:1", reference, 4200, "USD", token)
