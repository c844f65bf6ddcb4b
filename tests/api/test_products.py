"""The catalogue over HTTP: everybody reads it, operators change it."""

from typing import Any

import pytest
import sqlalchemy as sa

from shop.products import Product
from tests.api.shopfront import Shopfront, Visitor, messages, problem_of
from tests.support.valkey import Valkey

pytest_plugins = ("tests.api.shop_fixtures",)

LAMP = {"name": "Oak Desk Lamp", "price": 74.5}
JSON = {"Content-Type": "application/json"}
# What nobody can have meant, whatever it was sent to.
BODIES = {
    b"": (422, "invalid"),
    b"null": (422, "invalid"),
    b"[]": (422, "invalid"),
    b'{"price": 1': (400, "malformed_json"),
    b'{"price": 1, "price": 2}': (400, "malformed_json"),
    b'{"price": NaN}': (400, "malformed_json"),
    b'{"price": 1e999}': (400, "malformed_json"),
    b'{"price": ' + b"[" * 10_000 + b"]" * 10_000 + b"}": (400, "malformed_json"),
    b'{"name": "a\\u0000"}': (400, "malformed_json"),
    b'{"name": "\\ud800"}': (400, "malformed_json"),
    b" " * 10_000_000: (413, "body_too_large"),
}


def test_everybody_sees_what_is_on_sale(front: Shopfront) -> None:
    product = front.sell(3333, quantity=7)

    shown = front.stranger().get(f"/products/{product}").json()

    assert (shown["id"], shown["price"], shown["quantity"]) == (product, 33.33, 7)
    assert set(shown) == {
        "id", "name", "price", "currency", "quantity", "description", "category", "image",
        "external_id", "price_pinned", "version", "created_at", "updated_at",
    }  # fmt: skip


def test_a_new_product_is_found_at_its_location(operator: Visitor) -> None:
    made = operator.http.post("/products/", json={**LAMP, "quantity": 3, "category": "home"})

    shown = operator.http.get(made.headers["Location"])

    assert made.status_code == 201
    assert made.headers["Location"] == f"/products/{made.json()['id']}"
    assert shown.json() == made.json()
    assert (shown.json()["price"], shown.json()["quantity"]) == (74.5, 3)


def test_a_new_product_starts_with_the_default_stock(operator: Visitor) -> None:
    made = operator.http.post("/products/", json=LAMP).json()

    assert made["quantity"] == 100


def test_a_new_product_wakes_the_relay(operator: Visitor, valkey: Valkey) -> None:
    def add() -> None:
        operator.http.post("/products/", json=LAMP)

    add()

    assert messages(valkey, "events", again=add)


def test_every_character_is_kept(operator: Visitor) -> None:
    texts = {"name": "Lampe 💡 ß", "description": "two\nlines\tand 漢字"}

    made = operator.http.post("/products/", json={**LAMP, **texts}).json()

    shown = operator.http.get(f"/products/{made['id']}").json()
    assert {name: shown[name] for name in texts} == texts


def test_put_replaces_the_catalogue_fields(front: Shopfront, operator: Visitor) -> None:
    product = operator.http.post("/products/", json={**LAMP, "category": "home"}).json()["id"]

    answer = operator.http.put(f"/products/{product}", json={"name": "Lamp", "price": 80})

    replaced = answer.json()
    assert answer.status_code == 200
    assert (replaced["name"], replaced["price"], replaced["category"]) == ("Lamp", 80.0, "")
    assert replaced["version"] == 2


def test_a_price_that_is_set_is_in_the_currency_of_now(front: Shopfront, operator: Visitor) -> None:
    product = operator.http.post("/products/", json=LAMP).json()["id"]
    with front.database.sessions.begin() as session:
        session.execute(sa.update(Product).values(currency="EUR"))

    changed = operator.http.patch(f"/products/{product}", json={"price": LAMP["price"]}).json()

    assert (changed["currency"], changed["version"]) == ("USD", 2)


def test_patch_changes_what_it_names(operator: Visitor) -> None:
    product = operator.http.post("/products/", json={**LAMP, "category": "home"}).json()["id"]

    changed = operator.http.patch(f"/products/{product}", json={"price": 80}).json()

    assert (changed["name"], changed["price"], changed["category"]) == (
        "Oak Desk Lamp",
        80.0,
        "home",
    )


def test_patch_of_nothing_changes_nothing(front: Shopfront, operator: Visitor) -> None:
    product = front.sell()
    before = front.snapshot()

    answer = operator.http.patch(f"/products/{product}", json={})

    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert front.snapshot() == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_quantity_is_not_edited(front: Shopfront, operator: Visitor, method: str) -> None:
    product = front.sell(quantity=10)
    before = front.snapshot()

    answer = operator.http.request(method, f"/products/{product}", json={**LAMP, "quantity": 11})

    assert problem_of(answer) == (422, "quantity_not_editable")
    assert f"POST /products/{product}/stock" in answer.json()["detail"]
    assert front.snapshot() == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_quantity_may_be_repeated(front: Shopfront, operator: Visitor, method: str) -> None:
    product = front.sell(quantity=10)
    front.place({product: 4})

    answer = operator.http.request(method, f"/products/{product}", json={**LAMP, "quantity": 6})

    assert (answer.status_code, answer.json()["name"]) == (200, "Oak Desk Lamp")


def test_a_deleted_product_is_gone(front: Shopfront, operator: Visitor) -> None:
    product = front.sell()

    answer = operator.http.delete(f"/products/{product}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert problem_of(operator.http.get(f"/products/{product}")) == (404, "product_not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_deleted_product_cannot_be_changed(
    front: Shopfront, operator: Visitor, method: str
) -> None:
    product = front.sell()
    front.withdraw(product)
    before = front.snapshot()

    answer = operator.http.request(method, f"/products/{product}", json=LAMP)

    assert problem_of(answer) == (404, "product_not_found")
    assert front.snapshot() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/products/"),
        ("PUT", "/products/{id}"),
        ("PATCH", "/products/{id}"),
        ("DELETE", "/products/{id}"),
        ("POST", "/products/sync"),
        ("GET", "/products/sync/1"),
    ],
)
def test_customers_change_nothing(
    front: Shopfront, customer: Visitor, method: str, path: str
) -> None:
    path = path.format(id=front.sell())
    before = front.snapshot()

    by_customer = customer.http.request(method, path, json=LAMP)
    by_stranger = front.stranger().request(method, path, json=LAMP)

    assert problem_of(by_customer) == (403, "role_required")
    assert problem_of(by_stranger) == (401, "token_required")
    assert front.snapshot() == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"price": -1}, id="a negative price"),
        pytest.param({"price": 0.001}, id="a tenth of a cent"),
        pytest.param({"price": 33.333}, id="three decimals"),
        pytest.param({"price": "1e2"}, id="a price in words"),
        pytest.param({"price": "\u0661\u0660"}, id="a price in Arabic digits"),
        pytest.param({"price": True}, id="a price of true"),
        pytest.param({"price": 10**10}, id="a price beyond all measure"),
        pytest.param({"price": 1e300}, id="a price of 300 digits"),
        pytest.param({"price": [1]}, id="a list of prices"),
        pytest.param({"name": ""}, id="no name"),
        pytest.param({"name": "  "}, id="a blank name"),
        pytest.param({"name": "x" * 301}, id="an endless name"),
        pytest.param({"name": 5}, id="a number for a name"),
        pytest.param({"name": "a\r\nb"}, id="a name of two lines"),
        pytest.param({"name": "\x1b[31mred"}, id="a coloured name"),
        pytest.param({"name": "a\u202eb"}, id="a name that runs backwards"),
        pytest.param({"description": "a\x1b[2J"}, id="a description that clears the screen"),
        pytest.param({"description": "x" * 20_001}, id="an endless description"),
        pytest.param({"category": "x" * 121}, id="an endless category"),
        pytest.param({"image": "x" * 1001}, id="an endless address"),
        pytest.param({"quantity": -1}, id="less than none"),
        pytest.param({"quantity": 1.5}, id="one and a half"),
        pytest.param({"quantity": "1"}, id="a quantity in words"),
        pytest.param({"quantity": True}, id="a quantity of true"),
        pytest.param({"quantity": 2**31}, id="2^31"),
        pytest.param({"quantity": 2**63}, id="2^63"),
        pytest.param({"id": 1}, id="an id"),
        pytest.param({"version": 1}, id="a version"),
        pytest.param({"external_id": "1"}, id="a supplier's id"),
        pytest.param({"currency": "EUR"}, id="a currency"),
        pytest.param({"withdrawn": False}, id="withdrawn"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_field_without_sense_is_refused(
    front: Shopfront, operator: Visitor, method: str, change: dict[str, Any]
) -> None:
    path = {"POST": "/products/"}.get(method, f"/products/{front.sell()}")
    before = front.snapshot()

    answer = operator.http.request(method, path, json={**LAMP, **change})

    assert problem_of(answer) == (422, "invalid")
    assert front.snapshot() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/products/"),
        ("PUT", "/products/{id}"),
        ("PATCH", "/products/{id}"),
        ("POST", "/products/{id}/stock"),
        ("POST", "/orders/1/refunds"),
    ],
)
def test_a_body_without_sense_is_refused(
    front: Shopfront, operator: Visitor, method: str, path: str
) -> None:
    path = path.format(id=front.sell())
    before = front.snapshot()

    answers = {
        body: operator.http.request(method, path, content=body, headers=JSON) for body in BODIES
    }

    assert {body: problem_of(answer) for body, answer in answers.items()} == BODIES
    assert front.snapshot() == before


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "Lamp"}, {"price": 1}, {"name": None, "price": 1}, {**LAMP, "price": None}],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_whole_product_needs_name_and_price(
    front: Shopfront, operator: Visitor, method: str, body: dict[str, Any]
) -> None:
    path = {"POST": "/products/"}.get(method, f"/products/{front.sell()}")

    answer = operator.http.request(method, path, json=body)

    assert problem_of(answer) == (422, "invalid")


@pytest.mark.parametrize(
    ("product_id", "problem"),
    [
        ("0", (422, "invalid")),
        ("-1", (422, "invalid")),
        ("abc", (422, "invalid")),
        ("9223372036854775808", (422, "invalid")),
        ("9223372036854775807", (404, "product_not_found")),
        ("1%00", (422, "invalid")),
    ],
)
def test_a_product_that_cannot_be_is_not_shown(
    front: Shopfront, product_id: str, problem: tuple[int, str]
) -> None:
    assert problem_of(front.stranger().get(f"/products/{product_id}")) == problem


def test_a_list_is_read_page_by_page(front: Shopfront) -> None:
    made = [front.sell() for _ in range(5)]

    first = front.stranger().get("/products/?limit=3")
    second = front.stranger().get(first.links["next"]["url"])

    assert [row["id"] for row in first.json() + second.json()] == made[::-1]
    assert "next" not in second.links


def test_a_list_is_searched_and_stays_so_on_its_pages(front: Shopfront, operator: Visitor) -> None:
    made = [operator.http.post("/products/", json=LAMP).json()["id"] for _ in range(3)]
    front.sell()

    first = front.stranger().get("/products/?q=desk&limit=2")
    second = front.stranger().get(first.links["next"]["url"])

    assert [row["id"] for row in first.json() + second.json()] == made[::-1]


def test_a_list_is_read_by_category(front: Shopfront, operator: Visitor) -> None:
    lamp = operator.http.post("/products/", json={**LAMP, "category": "home"}).json()
    front.sell()

    assert front.stranger().get("/products/?category=home").json() == [lamp]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid"),
        ("limit=-1", "invalid"),
        ("limit=1000000000", "invalid"),
        ("cursor=garbage", "bad_cursor"),
        ("q=", "invalid"),
        (f"q={'x' * 101}", "invalid"),
        ("q=%00", "invalid"),
        (f"category={'x' * 121}", "invalid"),
        ("sync=perhaps", "invalid"),
        ("q=a&q=b", "repeated_parameter"),
    ],
)
def test_a_query_without_sense_is_refused(front: Shopfront, query: str, code: str) -> None:
    front.sell()

    answer = front.stranger().get(f"/products/?{query}")

    assert problem_of(answer) == (422, code)


@pytest.mark.parametrize("text", ["%25", "'", "%5C", "%F0%9F%92%A1", "AAPL%0d%0a"])
def test_a_strange_search_finds_nothing(front: Shopfront, text: str) -> None:
    front.sell()

    answer = front.stranger().get(f"/products/?q={text}")

    assert (answer.status_code, answer.json()) == (200, [])


def test_only_operators_sync_while_others_wait(front: Shopfront, customer: Visitor) -> None:
    front.sell()

    answers = [http.get("/products/?sync=true") for http in (front.stranger(), customer.http)]

    assert [problem_of(answer) for answer in answers] == [(403, "sync_not_allowed")] * 2


def test_a_wished_for_sync_is_stored_and_rung(
    front: Shopfront, operator: Visitor, valkey: Valkey
) -> None:
    answer = operator.http.post("/products/sync")

    wish = answer.json()
    assert (answer.status_code, wish["status"]) == (202, "requested")
    assert front.wishes() == {wish["id"]: "requested"}
    assert messages(valkey, "products", again=lambda: operator.http.post("/products/sync"))


def test_a_sync_that_has_not_ended_has_no_report(operator: Visitor) -> None:
    wish = operator.http.post("/products/sync").json()

    shown = operator.http.get(f"/products/sync/{wish['id']}").json()

    assert (shown["status"], shown["ended_at"], shown["report"]) == ("requested", None, None)


def test_a_sync_that_nobody_asked_for_is_not_found(operator: Visitor) -> None:
    answer = operator.http.get("/products/sync/9223372036854775807")

    assert problem_of(answer) == (404, "sync_not_found")
