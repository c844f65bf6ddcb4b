"""Webhooks: signed, off until asked for, doubled or late on demand."""

import hmac
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from sandbox.faults import DEFAULT_DELAY_S

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming, Charging, Stage

SECRET = "whsec_test"
PATIENT_S = 60.0


class Delivery(NamedTuple):
    signature: str
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def reference(self) -> str:
        return str(self.event["data"]["object"]["reference"])

    @property
    def is_sound(self) -> bool:
        stamp, _, signature = self.signature.partition(",")
        text = stamp.removeprefix("t=").encode() + b"." + self.body
        return signature == "v1=" + hmac.new(SECRET.encode(), text, "sha256").hexdigest()


class Inbox:
    """A receiver that keeps what it is sent; it refuses the first `refusals` deliveries."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.refusals = 0
        self.received: Queue[Delivery] = Queue()

    def next(self) -> Delivery:
        return self.received.get(timeout=PATIENT_S)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.received.put(Delivery(self.headers["Gateway-Signature"], body))
            self.send_response(500 if kept.refusals else 204)
            kept.refusals = max(kept.refusals - 1, 0)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    kept = Inbox(f"http://127.0.0.1:{server.server_port}/hook")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def subscribed(gateway: httpx.Client, inbox: Inbox) -> Inbox:
    answer = gateway.post("/admin/webhook", json={"url": inbox.url, "secret": SECRET})
    assert answer.status_code == 201
    return inbox


def test_charge_is_announced_and_signed(charge: "Charging", subscribed: Inbox) -> None:
    made = charge().json()

    delivery = subscribed.next()

    assert delivery.is_sound
    assert delivery.event["type"] == "charge.succeeded"
    assert delivery.event["id"].startswith("evt_")
    assert delivery.event["data"]["object"] == made


def test_forged_webhook_is_signed_with_another_secret(
    gateway: httpx.Client, charge: "Charging", subscribed: Inbox, arm: "Arming"
) -> None:
    arm(gateway, "webhook_forged", times=1)

    charge()

    assert not subscribed.next().is_sound


def test_decline_is_announced(charge: "Charging", subscribed: Inbox) -> None:
    charge(reference="no", token="tok_declined")

    event = subscribed.next().event

    assert event["type"] == "charge.failed"
    assert event["data"]["object"]["reference"] == "no"


def test_refund_is_announced(gateway: httpx.Client, charge: "Charging", subscribed: Inbox) -> None:
    made = charge(amount=100).json()
    subscribed.next()

    wish = {"charge": made["id"], "amount": 40}
    refund = gateway.post("/v1/refunds", json=wish, headers={"idempotency-key": made["id"]})

    event = subscribed.next().event
    assert (event["type"], event["data"]["object"]) == ("refund.succeeded", refund.json())


def test_charge_whose_answer_is_lost_is_announced_all_the_same(
    charge: "Charging", subscribed: Inbox
) -> None:
    charge(token="tok_500", reference="lost")

    assert subscribed.next().event["data"]["object"]["reference"] == "lost"


def test_webhook_twice_sends_one_event_two_times(
    gateway: httpx.Client, charge: "Charging", subscribed: Inbox, arm: "Arming"
) -> None:
    arm(gateway, "webhook_twice", times=1)

    charge()

    assert subscribed.next().event["id"] == subscribed.next().event["id"]


def test_late_webhook_is_overtaken(
    gateway: httpx.Client, charge: "Charging", subscribed: Inbox, arm: "Arming"
) -> None:
    arm(gateway, "webhook_late", times=1, delay_s=3600, match={"reference": "late"})

    for reference in ("late", "punctual"):
        charge(reference=reference)

    assert subscribed.next().reference == "punctual"


def test_late_webhook_comes_after_its_delay(
    gateway: httpx.Client, charge: "Charging", subscribed: Inbox, arm: "Arming"
) -> None:
    arm(gateway, "webhook_late", times=1, delay_s=0.2)
    began_s = time.monotonic()

    charge(reference="late")

    assert subscribed.next().reference == "late"
    assert time.monotonic() - began_s >= 0.2


def test_tokens_bring_the_faults_of_webhooks_along(charge: "Charging", subscribed: Inbox) -> None:
    began_s = time.monotonic()
    for fault in ("late", "twice", "forged"):
        charge(reference=fault, token=f"tok_webhook_{fault}")

    came = [subscribed.next() for _ in range(4)]

    references = [it.reference for it in came]
    assert sorted(references) == ["forged", "late", "twice", "twice"]
    assert {it.reference for it in came if not it.is_sound} == {"forged"}
    assert time.monotonic() - began_s >= DEFAULT_DELAY_S


def test_webhook_comes_before_the_answer_to_its_charge(
    charge: "Charging", subscribed: Inbox
) -> None:
    charge(reference="first", token="tok_webhook_first")

    assert subscribed.received.qsize() == 1


def test_refused_webhook_is_sent_again(charge: "Charging", subscribed: Inbox) -> None:
    subscribed.refusals = 1

    charge()

    assert subscribed.next().event["id"] == subscribed.next().event["id"]


def test_nothing_is_sent_after_unsubscribing(
    gateway: httpx.Client, charge: "Charging", subscribed: Inbox
) -> None:
    gateway.delete("/admin/webhook")
    charge(reference="unheard")

    gateway.post("/admin/webhook", json={"url": subscribed.url, "secret": SECRET})
    charge(reference="heard")

    assert subscribed.next().reference == "heard"


def test_subscription_survives_a_kill(own_stage: "Stage", inbox: Inbox) -> None:
    url = own_stage.url("gateway")
    wish = {"url": inbox.url, "secret": SECRET}
    told = httpx.post(f"{url}/admin/webhook", json=wish, trust_env=False, timeout=PATIENT_S)
    told.raise_for_status()
    own_stage.kill_and_start_again()

    httpx.post(
        f"{url}/v1/charges",
        json={"reference": "after", "amount": 1, "currency": "USD"},
        headers={"authorization": "Bearer test", "idempotency-key": "after:1"},
        trust_env=False,
        timeout=PATIENT_S,
    )

    assert inbox.next().event["data"]["object"]["reference"] == "after"


@pytest.mark.parametrize(
    "wish", [{}, {"url": "ftp://x", "secret": "s"}, {"url": "http://x"}, {"url": 1, "secret": "s"}]
)
def test_impossible_subscription_is_refused(gateway: httpx.Client, wish: dict[str, object]) -> None:
    assert gateway.post("/admin/webhook", json=wish).status_code == 422
