"""Payments over HTTP: seen by their owner, rung by anybody; and the whole way with real workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import redis

from accounts.tables import Role
from shop.gateways.protocol import ChargeRequest, RefundRequest, Succeeded
from shop.gateways.sandbox import SandboxGateway
from tests.api.conftest import Api, Starter, register
from tests.api.shopfront import Shopfront, Visitor, hush, messages, problem_of
from tests.support.fleet import Fleet
from tests.support.processes import Nursery, eventually
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

pytest_plugins = ("tests.api.shop_fixtures",)

FINAL = {"completed", "payment_failed", "refunded"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_starting_the_payments_rings_a_worker(
    front: Shopfront, customer: Visitor, valkey: Valkey, method: str
) -> None:
    front.place({front.sell(): 1})

    def start() -> httpx.Response:
        return customer.http.request(method, "/payments/start")

    answer = start()

    assert (answer.status_code, answer.json()) == (202, {"status": "started", "due": 1})
    assert messages(valkey, "payments", again=start)


def test_starting_the_payments_again_does_no_harm(
    front: Shopfront, customer: Visitor, operator: Visitor, valkey: Valkey
) -> None:
    front.place({front.sell(): 1})
    hush(operator, valkey)
    before = front.snapshot()

    def start() -> httpx.Response:
        return customer.http.post("/payments/start")

    answers = [start() for _ in range(5)]

    assert [answer.status_code for answer in answers] == [202] * 5
    assert front.snapshot() == before
    assert messages(valkey, "payments", again=start) == 1


def test_starting_the_payments_works_without_redis(
    front: Shopfront, customer: Visitor, fragile_valkey: Valkey
) -> None:
    fragile_valkey.kill()

    assert customer.http.post("/payments/start").status_code == 202


def test_a_stranger_cannot_start_the_payments(front: Shopfront) -> None:
    answer = front.stranger().post("/payments/start")

    assert problem_of(answer) == (401, "token_required")


def test_a_person_sees_his_payment(front: Shopfront, customer: Visitor) -> None:
    order_id = front.place({front.sell(): 1}, user_id=customer.id)["id"]
    front.settle()

    shown = customer.http.get(f"/payments/{front.payment(order_id).id}").json()

    assert (shown["order_id"], shown["user_id"]) == (order_id, customer.id)
    assert (shown["status"], shown["outcome"], shown["amount"]) == ("settled", "succeeded", 60.0)


def test_a_payment_that_was_not_tried_has_no_outcome(front: Shopfront, customer: Visitor) -> None:
    order_id = front.place({front.sell(): 1}, user_id=customer.id)["id"]

    shown = customer.http.get(f"/payments/{front.payment(order_id).id}").json()

    assert (shown["status"], shown["outcome"], shown["charge_id"]) == ("due", None, None)


def test_anothers_payment_is_not_found(front: Shopfront, customer: Visitor) -> None:
    order_id = front.place({front.sell(): 1}, user_id=customer.id + 1)["id"]

    answer = customer.http.get(f"/payments/{front.payment(order_id).id}")

    assert problem_of(answer) == (404, "payment_not_found")


def test_an_operator_sees_everybodys_payments(front: Shopfront, operator: Visitor) -> None:
    order_id = front.place({front.sell(): 1}, user_id=operator.id + 1)["id"]

    answer = operator.http.get(f"/payments/{front.payment(order_id).id}")

    assert answer.status_code == 200


def test_a_stranger_sees_no_payment(front: Shopfront) -> None:
    payment = front.payment(front.place_one())

    answer = front.stranger().get(f"/payments/{payment.id}")

    assert problem_of(answer) == (401, "token_required")


@pytest.mark.parametrize(
    ("payment_id", "problem"),
    [
        ("0", (422, "invalid")),
        ("-1", (422, "invalid")),
        ("abc", (422, "invalid")),
        ("9223372036854775808", (422, "invalid")),
        ("9223372036854775807", (404, "payment_not_found")),
    ],
)
def test_a_payment_that_cannot_be_is_not_shown(
    front: Shopfront, customer: Visitor, payment_id: str, problem: tuple[int, str]
) -> None:
    assert problem_of(customer.http.get(f"/payments/{payment_id}")) == problem


@dataclass(frozen=True)
class OpenShop:
    """A shop at work: API, workers and stand-ins, over SQLite as the embedded run has it."""

    api: Api
    world: Sandbox
    valkey: Valkey
    operator: httpx.Client

    def order(self, order_id: int) -> Any:
        """Read an order as it is now."""
        return self.operator.get(f"/orders/{order_id}").json()

    def is_being_charged(self, order_id: int) -> bool:
        """Tell whether a charge has been sent and not been answered."""
        told = self.operator.get(f"/orders/{order_id}/timeline").json()
        return [attempt["state"] for attempt in told["attempts"]] == ["sending"]

    def ended(self, order_id: int) -> str:
        """Wait for the end of an order and tell which it was."""
        return eventually(lambda: self._final(order_id), 60, what=f"order {order_id} at its end")

    def is_synced(self) -> bool:
        """Have the catalogue synced, and tell whether nobody is at it any more."""
        assert self.operator.get("/products/?sync=true").status_code == httpx.codes.OK
        return all(run["ended_at"] for run in self.operator.get("/products/syncs").json())

    def _final(self, order_id: int) -> str:
        status = str(self.order(order_id)["status"])
        return status if status in FINAL else ""


@pytest.fixture(scope="module")
def open_shop(
    api_of: Starter, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenShop]:
    """One worker for all queues and one API, and no beat: everything goes by its bell."""
    home = tmp_path_factory.mktemp("open-shop")
    world, valkey = Sandbox(nursery, home / "sandbox"), Valkey(nursery, home)
    valkey.start()
    env = {"BROKER_URL": valkey.url(), "DATA_DIR": str(home), **world.env()}
    api = api_of("required", **env)
    fleet = Fleet(nursery, {**env, "DATABASE_URL": api.database_url}, home)
    worker = fleet.worker(("payments", "events", "products"))
    yield OpenShop(api, world, valkey, api.client(register(api, Role.OPERATOR).token))
    # One by one: a group would also end what the session has started meanwhile.
    for child in (worker, api.service.child):
        child.stop()
    world.stop()
    valkey.stop()


@pytest.fixture
def at_work(open_shop: OpenShop) -> OpenShop:
    """The shop at work, its catalogue filled from the feed, and no sync under way."""
    eventually(open_shop.is_synced, 60)
    return open_shop


def test_an_order_is_paid_and_delivered(at_work: OpenShop) -> None:
    placed = at_work.operator.post("/orders/", json={"products": [1, 2], "total_amount": 100})

    order_id = placed.json()["id"]

    assert at_work.ended(order_id) == "completed"
    (charge,) = at_work.world.ledger().charges_of(order_id)
    assert (charge.amount, charge.currency) == (10_000, "USD")


def test_a_declined_card_ends_the_order_without_a_charge(at_work: OpenShop) -> None:
    order_id = at_work.operator.post(
        "/orders/", json={"id": 3, "payment_token": "tok_declined"}
    ).json()["id"]

    assert at_work.ended(order_id) == "payment_failed"
    assert at_work.world.ledger().charges_of(order_id) == []


def test_a_product_withdrawn_during_the_payment_is_refunded(at_work: OpenShop) -> None:
    product = at_work.operator.post("/products/", json={"name": "Last one", "price": 5}).json()
    gateway = at_work.world.child
    gateway.pause()
    try:
        order_id = at_work.operator.post("/orders/", json={"id": product["id"]}).json()["id"]
        eventually(lambda: at_work.is_being_charged(order_id), 60, what="the charge is sent")
        at_work.operator.delete(f"/products/{product['id']}")
    finally:
        gateway.resume()

    assert at_work.ended(order_id) == "refunded"
    assert at_work.order(order_id)["refunded"] == 6.0
    assert at_work.world.ledger().kept(order_id) == 0


def test_what_happens_to_an_order_is_on_its_stream(at_work: OpenShop) -> None:
    order_id = at_work.operator.post("/orders/", json={"id": 4}).json()["id"]

    with at_work.valkey.client() as streams:
        eventually(lambda: "order.completed" in _told(streams, order_id), 60)
        told = _told(streams, order_id)

    assert told == ["order.placed", "order.paid", "order.completed"]


def test_a_days_books_are_compared_both_ways_by_the_worker(at_work: OpenShop) -> None:
    lost, forgotten, odd = (_delivered(at_work) for _ in range(3))
    at_work.operator.post(f"/orders/{lost}/refunds", json={"amount": 10})
    eventually(lambda: at_work.order(lost)["refunded"] == 10.0, 60)
    wrong = at_work.operator.post(
        "/orders/", json={"id": 1, "payment_token": "tok_wrong_amount"}
    ).json()["id"]
    eventually(lambda: at_work.order(wrong)["status"] == "payment_unknown")
    abroad = SandboxGateway(at_work.world.gateway_url)
    stray = abroad.charge(ChargeRequest("stray:1", "nobody", 700, "EUR", "tok_visa"))
    (mine,) = at_work.world.ledger().charges_of(odd)
    abroad.refund(RefundRequest("by hand", mine.id, 500, "USD"))
    with at_work.world.gateway_books() as books:
        books.execute("DELETE FROM charge WHERE reference = ?", (str(forgotten),))
        books.execute("DELETE FROM refund WHERE idempotency_key LIKE ?", (f"refund:{lost}:%",))
        books.executemany(
            "INSERT INTO charge SELECT ?, 'old', ?, 1, 'USD', 'failed', created_at FROM charge"
            " WHERE id = ?",
            [(f"ch_old{n}", f"old:{n}", mine.id) for n in range(1001)],
        )

    report = eventually(lambda: _report(at_work), 60)

    assert {(it["kind"], it["what"], it["order_id"]) for it in report["findings"]} == {
        ("missing_at_gateway", "charge", forgotten),
        ("missing_at_gateway", "refund", lost),
        ("amount_differs", "charge", wrong),
        ("orphan_at_gateway", "charge", None),
        ("orphan_at_gateway", "refund", odd),
    }
    assert isinstance(stray, Succeeded)
    assert stray.id in {it["gateway_id"] for it in report["findings"]}
    ours, theirs = report["ours"]["USD"], report["theirs"]["USD"]
    assert (ours["charges"] - theirs["charges"], ours["refunds"] - theirs["refunds"]) == (0, 0)
    assert round(ours["charged"] - theirs["charged"], 2) == -0.01
    assert round(ours["refunded"] - theirs["refunded"], 2) == 5.0
    assert report["theirs"]["EUR"] == {
        "charges": 1, "charged": 7.0, "refunds": 0, "refunded": 0.0,
    }  # fmt: skip


def test_a_synced_catalogue_is_the_feeds(at_work: OpenShop) -> None:
    listed = at_work.api.client().get("/products/?limit=100").json()

    prices = {row["external_id"]: row["price"] for row in listed if row["external_id"]}
    assert len(prices) == 20
    assert (prices["1"], prices["2"]) == (50.0, 33.33)


def test_a_sync_that_was_wished_for_is_reported(at_work: OpenShop) -> None:
    wish = at_work.operator.post("/products/sync").json()

    report = eventually(
        lambda: at_work.operator.get(f"/products/sync/{wish['id']}").json().get("report")
    )

    assert (report["created"], report["reason"]) == (0, None)


def test_a_bad_feed_is_reported_and_changes_nothing(at_work: OpenShop) -> None:
    before = at_work.operator.get("/products/?limit=100").json()
    at_work.world.fault("feed", "empty", times=1)
    wish = at_work.operator.post("/products/sync").json()

    report = eventually(
        lambda: at_work.operator.get(f"/products/sync/{wish['id']}").json().get("report")
    )

    assert "lists no products" in report["reason"]
    assert at_work.operator.get("/products/?limit=100").json() == before


def _told(streams: "redis.Redis", order_id: int) -> list[str]:
    entries: Any = streams.xrange("events:orders")
    return [entry["type"] for _, entry in entries if entry["subject"] == f"orders/{order_id}"]


def _delivered(shop: OpenShop) -> int:
    order_id = int(shop.operator.post("/orders/", json={"id": 1}).json()["id"])
    assert shop.ended(order_id) == "completed"
    return order_id


def _report(shop: OpenShop) -> Any:
    answer = shop.operator.get("/payments/reconciliation")
    return answer.json() if answer.status_code == httpx.codes.OK else None
