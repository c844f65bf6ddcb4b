"""Webhooks: signed, off until asked for, doubled or late on demand."""

import hmac
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming, Charging, Stage

SECRET = "whsec_test"


class Delivery(NamedTuple):
    signature: str
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

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
        return self.received.get(timeout=5)


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
    arm(gateway, "webhook_late", times=1, delay_s=0.3, match={"reference": "late"})

    for reference in ("late", "punctual"):
        charge(reference=reference)

    order = [subscribed.next().event["data"]["object"]["reference"] for _ in range(2)]
    assert order == ["punctual", "late"]


def test_tokens_bring_the_faults_of_webhooks_along(charge: "Charging", subscribed: Inbox) -> None:
    for reference, fault in [("late", "late"), ("twice", "twice"), ("forged", "forged")]:
        charge(reference=reference, token=f"tok_webhook_{fault}")

    came = [subscribed.next() for _ in range(3)]

    assert sorted(it.event["data"]["object"]["reference"] for it in came) == [
        "forged", "twice", "twice",
    ]  # fmt: skip
    assert {it.event["data"]["object"]["reference"] for it in came if not it.is_sound} == {"forged"}


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

    charge()

    with pytest.raises(Empty):
        subscribed.received.get(timeout=0.1)


def test_subscription_survives_a_kill(own_stage: "Stage", inbox: Inbox) -> None:
    url = own_stage.url("gateway")
    wish = {"url": inbox.url, "secret": SECRET}
    httpx.post(f"{url}/admin/webhook", json=wish, trust_env=False).raise_for_status()
    own_stage.kill_and_start_again()

    httpx.post(
        f"{url}/v1/charges",
        json={"reference": "after", "amount": 1, "currency": "USD"},
        headers={"authorization": "Bearer test", "idempotency-key": "after:1"},
        trust_env=False,
    )

    assert inbox.next().event["data"]["object"]["reference"] == "after"


@pytest.mark.parametrize(
    "wish", [{}, {"url": "ftp://x", "secret": "s"}, {"url": "http://x"}, {"url": 1, "secret": "s"}]
)
def test_impossible_subscription_is_refused(gateway: httpx.Client, wish: dict[str, object]) -> None:
    assert gateway.post("/admin/webhook", json=wish).status_code == 422
