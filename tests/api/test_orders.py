"""Orders over HTTP: three ways to say what to buy, one answer to each fault, nobody else's."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from accounts.tables import Role
from tests.api.conftest import register
from tests.api.shopfront import Shopfront, Visitor, hush, messages, problem_of
from tests.shop.stage import Level
from tests.support.valkey import Valkey

pytest_plugins = ("tests.api.shop_fixtures",)


def test_an_order_of_items_is_placed(front: Shopfront, customer: Visitor) -> None:
    product = front.sell(5000)

    answer = customer.http.post(
        "/orders/", json={"items": [{"product_id": product, "quantity": 10}]}
    )

    order = answer.json()
    assert answer.status_code == 201
    assert (order["subtotal"], order["fee"], order["total"]) == (500.0, 100.0, 600.0)
    assert (order["user_id"], order["status"], order["version"]) == (customer.id, "pending", 1)


def test_the_old_list_of_products_is_placed(front: Shopfront, customer: Visitor) -> None:
    first, second = front.sell(5000), front.sell(3333)

    answer = customer.http.post(
        "/orders/",
        json={"user_id": customer.id, "products": [first, second], "total_amount": 100},
    )

    assert answer.status_code == 201
    assert answer.json()["total"] == 100.0


def test_one_product_and_its_quantity_are_placed(front: Shopfront, customer: Visitor) -> None:
    product = front.sell(5000)

    answer = customer.http.post("/orders/", json={"id": product, "quantity": 10})

    assert answer.status_code == 201
    assert answer.json()["total"] == 600.0


def test_an_order_has_the_fields_of_the_contract(front: Shopfront, customer: Visitor) -> None:
    order = customer.http.post("/orders/", json={"id": front.sell()}).json()

    assert set(order) == {
        "id", "user_id", "status", "currency", "subtotal", "fee", "total", "refunded", "items",
        "version", "created_at", "updated_at",
    }  # fmt: skip
    assert set(order["items"][0]) == {
        "product_id", "name", "quantity", "unit_price", "unit_fee", "line_total",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["items", "products"])
def test_the_same_product_twice_adds_up(front: Shopfront, customer: Visitor, form: str) -> None:
    product = front.sell()
    wishes: dict[str, list[Any]] = {
        "items": [{"product_id": product, "quantity": 1}] * 2,
        "products": [product, product],
    }

    order = customer.http.post("/orders/", json={form: wishes[form]}).json()

    assert [line["quantity"] for line in order["items"]] == [2]


def test_a_placed_order_is_found_at_its_location(front: Shopfront, customer: Visitor) -> None:
    placed = customer.http.post("/orders/", json={"id": front.sell()})

    shown = customer.http.get(placed.headers["Location"])

    assert placed.headers["Location"] == f"/orders/{placed.json()['id']}"
    assert shown.json() == placed.json()


def test_a_placed_order_wakes_the_workers_once(
    front: Shopfront, customer: Visitor, operator: Visitor, valkey: Valkey
) -> None:
    product = front.sell()
    hush(operator, valkey)

    def order() -> None:
        customer.http.post("/orders/", json={"id": product})

    for _ in range(3):
        order()

    assert [messages(valkey, queue, again=order) for queue in ("payments", "events")] == [1, 1]


def test_the_same_key_gives_the_same_answer(front: Shopfront, customer: Visitor) -> None:
    product = front.sell()
    wish = {"json": {"id": product}, "headers": {"Idempotency-Key": "once"}}

    answers = [customer.http.post("/orders/", **wish) for _ in range(2)]  # type: ignore[arg-type] # keywords

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json() == answers[0].json()
    assert answers[1].headers["Location"] == answers[0].headers["Location"]
    assert front.level(product).reserved == 1


def test_the_same_wish_in_another_form_is_the_same_wish(
    front: Shopfront, customer: Visitor
) -> None:
    product, key = front.sell(), {"Idempotency-Key": "once"}
    first = customer.http.post("/orders/", json={"id": product, "quantity": 1}, headers=key)

    second = customer.http.post("/orders/", json={"products": [product]}, headers=key)

    assert second.json() == first.json()


def test_the_same_key_for_another_order_is_refused(front: Shopfront, customer: Visitor) -> None:
    product, key = front.sell(), {"Idempotency-Key": "once"}
    customer.http.post("/orders/", json={"id": product, "quantity": 1}, headers=key)

    answer = customer.http.post("/orders/", json={"id": product, "quantity": 2}, headers=key)

    assert problem_of(answer) == (422, "idempotency_key_reused")
    assert front.level(product).reserved == 1


def test_another_persons_key_is_no_way_to_his_order(front: Shopfront, customer: Visitor) -> None:
    product, key = front.sell(), {"Idempotency-Key": "once"}
    mine = customer.http.post("/orders/", json={"id": product}, headers=key).json()
    other = front.visitor(Role.OPERATOR)

    theirs = other.http.post("/orders/", json={"id": product}, headers=key).json()

    assert (theirs["user_id"], mine["user_id"]) == (other.id, customer.id)
    assert theirs["id"] != mine["id"]


def test_a_hundred_requests_at_once_with_one_key_are_one_order(
    front: Shopfront, customer: Visitor
) -> None:
    product = front.sell(quantity=100)

    def place(_n: int) -> httpx.Response:
        return customer.http.post(
            "/orders/", json={"id": product}, headers={"Idempotency-Key": "once"}
        )

    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(place, range(100)))

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert front.level(product) == Level(on_hand=100, reserved=1)


def test_an_unknown_product_is_named(front: Shopfront, customer: Visitor) -> None:
    unknown = front.sell() + 1000

    answer = customer.http.post("/orders/", json={"id": unknown})

    assert problem_of(answer) == (422, "unknown_product")
    assert answer.json()["product_id"] == unknown


def test_a_withdrawn_product_is_unknown(front: Shopfront, customer: Visitor) -> None:
    product = front.sell()
    front.withdraw(product)

    answer = customer.http.post("/orders/", json={"id": product})

    assert problem_of(answer) == (422, "unknown_product")


def test_a_sold_out_product_is_named(front: Shopfront, customer: Visitor) -> None:
    product = front.sell(quantity=3)

    answer = customer.http.post("/orders/", json={"id": product, "quantity": 4})

    assert problem_of(answer) == (409, "out_of_stock")
    assert (answer.json()["product_id"], answer.json()["available"]) == (product, 3)
    assert front.level(product) == Level(on_hand=3, reserved=0)


def test_a_changed_price_is_answered_with_the_right_total(
    front: Shopfront, customer: Visitor
) -> None:
    product = front.sell(3333)

    answer = customer.http.post("/orders/", json={"id": product, "expected_total": 39.99})

    assert problem_of(answer) == (409, "price_changed")
    assert answer.json()["total"] == 40.0
    assert front.level(product).reserved == 0


def test_nothing_to_pay_is_no_order(front: Shopfront, customer: Visitor) -> None:
    answer = customer.http.post("/orders/", json={"id": front.sell(0)})

    assert problem_of(answer) == (422, "nothing_to_pay")


def test_an_order_beyond_all_measure_is_refused(front: Shopfront, customer: Visitor) -> None:
    product = front.sell(999_999_999_999, quantity=1_000_000)

    answer = customer.http.post("/orders/", json={"id": product, "quantity": 1_000_000})

    assert problem_of(answer) == (422, "order_too_large")


def test_a_stranger_cannot_order(front: Shopfront) -> None:
    product = front.sell()

    answer = front.stranger().post("/orders/", json={"id": product})

    assert problem_of(answer) == (401, "token_required")
    assert front.level(product).reserved == 0


def test_a_customer_cannot_order_for_another(front: Shopfront, customer: Visitor) -> None:
    product = front.sell()

    answer = customer.http.post("/orders/", json={"id": product, "user_id": customer.id + 1})

    assert problem_of(answer) == (403, "not_yourself")
    assert front.level(product).reserved == 0


def test_an_admin_can_order_for_another(front: Shopfront, customer: Visitor) -> None:
    admin = front.visitor(Role.ADMIN)

    answer = admin.http.post("/orders/", json={"id": front.sell(), "user_id": customer.id})

    assert answer.json()["user_id"] == customer.id


def test_an_admin_cannot_order_for_a_user_who_cannot_be(front: Shopfront) -> None:
    admin = front.visitor(Role.ADMIN)

    answer = admin.http.post("/orders/", json={"id": front.sell(), "user_id": 2**63})

    assert problem_of(answer) == (422, "invalid")


def test_an_admin_cannot_order_for_a_user_who_is_not(front: Shopfront) -> None:
    admin, product = front.visitor(Role.ADMIN), front.sell()

    answer = admin.http.post("/orders/", json={"id": product, "user_id": 2**62})

    assert problem_of(answer) == (404, "user_not_found")
    assert front.level(product).reserved == 0


def test_a_registered_person_sees_his_order_and_nobody_elses(front: Shopfront) -> None:
    owner, other = (front.api.client(register(front.api).token) for _ in range(2))
    placed = owner.post("/orders/", json={"id": front.sell()}).json()

    mine, theirs = (http.get(f"/orders/{placed['id']}") for http in (owner, other))

    assert mine.json() == placed
    assert problem_of(theirs) == (404, "order_not_found")


def test_anothers_order_looks_like_one_that_never_was(front: Shopfront, customer: Visitor) -> None:
    theirs = front.place({front.sell(): 1}, user_id=customer.id + 1)["id"]
    never_was = theirs + 1

    answers = [customer.http.get(f"/orders/{order_id}").json() for order_id in (theirs, never_was)]

    assert answers[0]["detail"].replace(str(theirs), "?") == answers[1]["detail"].replace(
        str(never_was), "?"
    )


def test_a_person_lists_his_own_orders_only(front: Shopfront, customer: Visitor) -> None:
    product = front.sell()
    mine = [front.place({product: 1}, user_id=customer.id)["id"] for _ in range(2)]
    front.place({product: 1}, user_id=customer.id + 1)

    listed = customer.http.get("/orders/").json()

    assert [order["id"] for order in listed] == mine[::-1]


def test_an_operator_lists_and_sees_everybodys_orders(front: Shopfront, operator: Visitor) -> None:
    order_id = front.place({front.sell(): 1}, user_id=operator.id + 1)["id"]

    listed = operator.http.get("/orders/").json()

    assert [order["id"] for order in listed] == [order_id]
    assert operator.http.get(f"/orders/{order_id}").status_code == 200


def test_a_stranger_sees_no_orders(front: Shopfront) -> None:
    order_id = front.place_one()

    answers = [front.stranger().get(path) for path in ("/orders/", f"/orders/{order_id}")]

    assert [problem_of(answer) for answer in answers] == [(401, "token_required")] * 2


def test_a_list_is_read_page_by_page(front: Shopfront, customer: Visitor) -> None:
    product = front.sell()
    mine = [front.place({product: 1}, user_id=customer.id)["id"] for _ in range(5)]

    first = customer.http.get("/orders/?limit=2")
    second = customer.http.get(first.links["next"]["url"])
    third = customer.http.get(second.links["next"]["url"])

    pages = [[order["id"] for order in page.json()] for page in (first, second, third)]
    assert pages == [mine[:2:-1], mine[2:0:-1], mine[:1]]
    assert "next" not in third.links


def test_pages_stay_as_they_are_while_orders_come_in(front: Shopfront, customer: Visitor) -> None:
    product = front.sell()
    mine = [front.place({product: 1}, user_id=customer.id)["id"] for _ in range(4)]
    first = customer.http.get("/orders/?limit=2")
    front.place({product: 1}, user_id=customer.id)

    second = customer.http.get(first.links["next"]["url"])

    assert [order["id"] for order in second.json()] == [mine[1], mine[0]]


def test_pages_keep_their_filter(front: Shopfront, customer: Visitor) -> None:
    product = front.sell()
    for _ in range(3):
        front.place({product: 1}, user_id=customer.id)
    front.settle()
    front.place({product: 1}, user_id=customer.id)

    first = customer.http.get("/orders/?status=paid&limit=2")
    second = customer.http.get(first.links["next"]["url"])

    assert [order["status"] for order in first.json() + second.json()] == ["paid"] * 3


def test_a_dead_redis_does_not_refuse_an_order(
    front: Shopfront, customer: Visitor, fragile_valkey: Valkey
) -> None:
    product = front.sell()
    fragile_valkey.kill()

    answers = [customer.http.post("/orders/", json={"id": product}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201] * 3
    assert front.payment(answers[0].json()["id"]).state == "due"


def test_a_frozen_redis_does_not_refuse_an_order(
    front: Shopfront, customer: Visitor, fragile_valkey: Valkey
) -> None:
    product = front.sell()
    fragile_valkey.freeze()

    answer = customer.http.post("/orders/", json={"id": product})

    assert answer.status_code == 201
    assert front.payment(answer.json()["id"]).state == "due"
