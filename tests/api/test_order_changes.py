"""Unpaid orders are cancelled and changed over HTTP; a payment in doubt is asked for first."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.api.shopfront import Shopfront, Visitor, problem_of
from tests.shop.stage import Level
from tests.support.gateway import FakeGateway
from tests.support.processes import eventually

pytest_plugins = ("tests.api.shop_fixtures",)


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
def test_an_unpaid_order_is_cancelled(
    front: Shopfront, customer: Visitor, method: str, suffix: str
) -> None:
    product = front.sell(quantity=10)
    order_id = _order(customer, product, 4)

    answer = customer.http.request(method, f"/orders/{order_id}{suffix}")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert front.level(product) == Level(10, 0)
    assert customer.http.get(f"/orders/{order_id}").json() == answer.json()


def test_what_cannot_be_cancelled_says_why(front: Shopfront, customer: Visitor) -> None:
    paid, sent = _order(customer, front.sell()), _order(customer, front.sell())
    front.claim(now=front.now())
    on_its_way = customer.http.delete(f"/orders/{sent}")
    front.settle(now=front.now() + timedelta(minutes=1))

    too_late = customer.http.post(f"/orders/{paid}/cancel")

    assert problem_of(on_its_way) == (409, "payment_in_progress")
    assert problem_of(too_late) == (409, "order_not_cancellable")
    assert problem_of(customer.http.delete("/orders/999999999")) == (404, "order_not_found")


def test_nobody_touches_or_sees_the_order_of_another(front: Shopfront, customer: Visitor) -> None:
    order_id = int(front.place({front.sell(): 1})["id"])
    item = {"product_id": front.sell(), "quantity": 1}

    answers = [
        customer.http.delete(f"/orders/{order_id}"),
        customer.http.patch(f"/orders/{order_id}", json={"items": [item]}),
        customer.http.get(f"/orders/{order_id}/timeline"),
        customer.http.get(f"/orders/{order_id}/refunds"),
    ]

    assert {problem_of(answer) for answer in answers} == {(404, "order_not_found")}


def test_a_pending_order_is_changed(front: Shopfront, customer: Visitor) -> None:
    first, second = front.sell(quantity=10), front.sell(100, quantity=10)
    order_id = _order(customer, first, 3)
    items = [{"product_id": second, "quantity": 1}] * 2

    answer = customer.http.patch(
        f"/orders/{order_id}", json={"items": items, "expected_total": 2.4}
    )

    assert (answer.status_code, answer.json()["total"]) == (200, 2.4)
    assert (front.level(first), front.level(second)) == (Level(10, 0), Level(10, 2))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{"product_id": 1, "quantity": 0}]},
        {"items": [{"product_id": 1, "quantity": 1}], "status": "paid"},
    ],
)
def test_a_change_that_makes_no_sense_is_refused(
    front: Shopfront, customer: Visitor, body: dict[str, object]
) -> None:
    order_id = _order(customer, front.sell())

    answer = customer.http.patch(f"/orders/{order_id}", json=body)

    assert problem_of(answer) == (422, "invalid")


def test_a_payment_in_doubt_is_asked_for_before_anything_else(
    front: Shopfront, customer: Visitor
) -> None:
    order_id = _doubtful(front, customer)
    waits_until = front.payment(order_id).due_at

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(customer.http.post, f"/orders/{order_id}/cancel")
        eventually(lambda: front.payment(order_id).due_at != waits_until)
        front.settle(now=front.now())
        answer = asking.result()

    assert problem_of(answer) == (409, "order_not_cancellable")
    assert front.status(order_id) == "paid"


def test_a_doubt_that_stays_is_told_with_a_time_to_come_back(
    front: Shopfront, customer: Visitor, operator: Visitor
) -> None:
    order_id = _doubtful(front, customer)

    with ThreadPoolExecutor(2) as threads:
        cancelling = threads.submit(customer.http.post, f"/orders/{order_id}/cancel")
        refunding = threads.submit(operator.http.post, f"/orders/{order_id}/refunds", json={})

    for answer in (cancelling.result(), refunding.result()):
        assert problem_of(answer) == (409, "payment_unknown")
        assert int(answer.headers["retry-after"]) > 0
    assert front.status(order_id) == "payment_unknown"


def test_an_operator_gives_money_back(
    front: Shopfront, customer: Visitor, operator: Visitor
) -> None:
    product = front.sell(quantity=10)
    order_id = _order(customer, product, 2)
    front.settle(now=front.now())
    front.fulfil(now=front.now())
    path = f"/orders/{order_id}/refunds"

    part = operator.http.post(path, json={"amount": 20.0, "reason": "late"})
    rest = operator.http.post(path, json={"restock": True}, headers={"Idempotency-Key": "all"})
    again = operator.http.post(path, json={"restock": True}, headers={"Idempotency-Key": "all"})
    front.give_back(now=front.now())

    assert [answer.status_code for answer in (part, rest, again)] == [201, 201, 201]
    assert again.json() == rest.json()
    assert [it["amount"] for it in customer.http.get(path).json()] == [100.0, 20.0]
    order = customer.http.get(f"/orders/{order_id}").json()
    assert (order["status"], order["refunded"]) == ("refunded", 120.0)
    assert front.level(product) == Level(10, 0)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"amount": 0}, (422, "invalid")),
        ({"amount": -1}, (422, "invalid")),
        ({"amount": 0.001}, (422, "invalid")),
        ({"amount": "1"}, (422, "invalid")),
        ({"amount": "1e2"}, (422, "invalid")),
        ({"amount": True}, (422, "invalid")),
        ({"amount": 1e300}, (422, "invalid")),
        ({"items": [{"product_id": 1, "quantity": 0}]}, (422, "invalid")),
        ({"items": [{"product_id": 1, "quantity": 2**63}]}, (422, "invalid")),
        ({"amount": 60.01}, (409, "refund_too_large")),
        ({"amount": 1, "restock": True}, (422, "items_needed")),
        ({"reason": "two\nlines"}, (422, "invalid")),
        ({"is_admin": True}, (422, "invalid")),
        ({"restock": False, "items": [{"product_id": 1, "quantity": 1}]}, (422, "invalid")),
        ({"items": [{"product_id": 1, "quantity": 99}]}, (409, "not_delivered")),
    ],
)
def test_a_refund_that_cannot_be_is_refused(
    front: Shopfront,
    customer: Visitor,
    operator: Visitor,
    body: dict[str, object],
    problem: tuple[int, str],
) -> None:
    order_id = _order(customer, front.sell())
    front.settle(now=front.now())

    answer = operator.http.post(f"/orders/{order_id}/refunds", json=body)

    assert problem_of(answer) == problem
    assert operator.http.get(f"/orders/{order_id}/refunds").json() == []


def test_a_customer_gives_himself_nothing_back(front: Shopfront, customer: Visitor) -> None:
    order_id = _order(customer, front.sell())
    front.settle(now=front.now())

    answer = customer.http.post(f"/orders/{order_id}/refunds", json={})

    assert problem_of(answer) == (403, "role_required")


def test_a_timeline_is_shown(front: Shopfront, customer: Visitor) -> None:
    order_id = _order(customer, front.sell(), token="tok_declined")
    front.settle(now=front.now())

    told = customer.http.get(f"/orders/{order_id}/timeline").json()

    assert (told["order_id"], told["status"]) == (order_id, "payment_failed")
    assert [attempt["state"] for attempt in told["attempts"]] == ["declined"]
    assert [call["outcome"] for call in told["gateway_calls"]] == ["declined"]
    assert told["events"][0]["type"] == "order.placed"


def test_a_reconciliation_nobody_has_made_yet_is_promised(
    front: Shopfront, customer: Visitor, operator: Visitor
) -> None:
    path = "/payments/reconciliation?day=2026-01-31"

    answer = operator.http.get(path)

    assert (answer.status_code, answer.headers["location"]) == (202, path)
    assert int(answer.headers["retry-after"]) > 0
    assert problem_of(customer.http.get(path)) == (403, "role_required")
    assert problem_of(operator.http.get(path.replace("2026", "2199"))) == (422, "day_not_begun")
    assert problem_of(operator.http.get(path + "x")) == (422, "invalid")


def _order(visitor: Visitor, product: int, quantity: int = 1, *, token: str = "tok_visa") -> int:
    body = {"items": [{"product_id": product, "quantity": quantity}], "payment_token": token}
    answer = visitor.http.post("/orders/", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def _doubtful(front: Shopfront, customer: Visitor) -> int:
    """An order that was charged, of which nobody heard."""
    order_id = _order(customer, front.sell())
    assert isinstance(front.gateway, FakeGateway)
    front.gateway.lose_next_answer()
    front.settle(now=front.now())
    return order_id
