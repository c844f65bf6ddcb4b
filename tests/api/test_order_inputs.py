"""What an order may look like over HTTP: everything else is a 4xx that names the fault."""

from typing import Any

import pytest

from tests.api.shopfront import Shopfront, Visitor, problem_of

pytest_plugins = ("tests.api.shop_fixtures",)

LINES = b'{"items":[' + b'{"product_id":1,"quantity":1},' * 10_000
DEEP = b'{"items":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
SOUND = b'{"id": 1, "quantity": 1}'
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "key", [b"", b"k" * 256, b"two words", b"tab\tkey", b"k\xc3\xa9y", b"\xff"]
)
def test_a_key_that_is_none_is_refused(front: Shopfront, customer: Visitor, key: bytes) -> None:
    product = front.sell()

    answer = customer.http.post(
        "/orders/", json={"id": product}, headers=[(b"Idempotency-Key", key)]
    )

    assert problem_of(answer) == (422, "invalid")
    assert front.level(product).reserved == 0


def test_the_longest_key_is_taken(front: Shopfront, customer: Visitor) -> None:
    answer = customer.http.post(
        "/orders/", json={"id": front.sell()}, headers={"Idempotency-Key": "k" * 255}
    )

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("headers", "body", "problem"),
    [
        pytest.param(JSON, b"", (422, "invalid"), id="empty"),
        pytest.param(JSON, b"null", (422, "invalid"), id="null"),
        pytest.param(JSON, b"[]", (422, "invalid"), id="a list"),
        pytest.param(JSON, b"5", (422, "invalid"), id="a number"),
        pytest.param(JSON, b"{}", (422, "invalid"), id="nothing wanted"),
        pytest.param(JSON, b'{"id": 1', (400, "malformed_json"), id="truncated"),
        pytest.param(JSON, b'{"id": 1, "id": 2}', (400, "malformed_json"), id="a name twice"),
        pytest.param(JSON, b'{"expected_total": NaN}', (400, "malformed_json"), id="NaN"),
        pytest.param(JSON, b'{"expected_total": 1e999}', (400, "malformed_json"), id="1e999"),
        pytest.param(JSON, DEEP, (400, "malformed_json"), id="depth of 10,000"),
        pytest.param(JSON, b'{"payment_token": "a\\u0000"}', (400, "malformed_json"), id="NUL"),
        pytest.param(JSON, b'{"payment_token": "\\ud800"}', (400, "malformed_json"),
                     id="half a character"),
        pytest.param(JSON, b"\xff\xfe", (400, "malformed_json"), id="no text"),
        pytest.param(JSON, b" " * 10_000_000, (413, "body_too_large"), id="10 MB"),
        pytest.param(JSON, LINES + b'{"product_id":1,"quantity":1}]}', (413, "body_too_large"),
                     id="10,001 lines"),
        pytest.param({"Content-Type": "text/plain"}, SOUND, (415, "unsupported_media_type"),
                     id="another content type"),
        pytest.param({}, SOUND, (415, "unsupported_media_type"), id="no content type"),
    ],
)  # fmt: skip
def test_a_body_without_sense_is_refused(
    front: Shopfront,
    customer: Visitor,
    headers: dict[str, str],
    body: bytes,
    problem: tuple[int, str],
) -> None:
    front.sell()
    before = front.snapshot()

    answer = customer.http.post("/orders/", content=body, headers=headers)

    assert problem_of(answer) == problem
    assert front.snapshot() == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"quantity": 0}, id="none"),
        pytest.param({"quantity": -1}, id="less than none"),
        pytest.param({"quantity": 1.5}, id="one and a half"),
        pytest.param({"quantity": "1"}, id="a word"),
        pytest.param({"quantity": True}, id="true"),
        pytest.param({"quantity": None}, id="null"),
        pytest.param({"quantity": 2**31}, id="2^31"),
        pytest.param({"quantity": 2**63}, id="2^63"),
        pytest.param({"quantity": 1e300}, id="1e300"),
        pytest.param({"id": 0}, id="product 0"),
        pytest.param({"id": -1}, id="product -1"),
        pytest.param({"id": 2**63}, id="product 2^63"),
        pytest.param({"id": "1"}, id="product in words"),
        pytest.param({"expected_total": 0.001}, id="a tenth of a cent"),
        pytest.param({"expected_total": -1}, id="a negative total"),
        pytest.param({"expected_total": "1e2"}, id="a total in words"),
        pytest.param({"expected_total": "\u0661"}, id="a total in Arabic digits"),
        pytest.param({"expected_total": True}, id="a total of true"),
        pytest.param({"expected_total": 1e300}, id="a total of 300 digits"),
        pytest.param({"total_amount": 0.001}, id="an old total of a tenth of a cent"),
        pytest.param({"total_amount": -1}, id="a negative old total"),
        pytest.param({"total_amount": "1e2"}, id="an old total in words"),
        pytest.param({"expected_total": 1, "total_amount": 1}, id="two totals"),
        pytest.param({"payment_token": ""}, id="no card"),
        pytest.param({"payment_token": "tok visa"}, id="a card of two words"),
        pytest.param({"payment_token": "tok\r\nX-Evil: 1"}, id="a card with CR and LF"),
        pytest.param({"payment_token": "tok\x1b[31m"}, id="a card with colours"),
        pytest.param({"payment_token": "t" * 101}, id="an endless card"),
        pytest.param({"payment_token": "tok_visa\n"}, id="a card and a line feed"),
        pytest.param({"price": 1}, id="a price"),
        pytest.param({"status": "paid"}, id="a status"),
        pytest.param({"is_admin": True}, id="is_admin"),
        pytest.param({"fee": 0}, id="a fee"),
        pytest.param({"user_id": "1"}, id="a user in words"),
        pytest.param({"user_id": 0}, id="user 0"),
        pytest.param({"user_id": 2**63}, id="user 2^63"),
        pytest.param({"products": [1]}, id="two ways to say it"),
        pytest.param({"items": [{"product_id": 1, "quantity": 1}]}, id="two other ways"),
    ],
)
def test_a_field_without_sense_is_refused(
    front: Shopfront, customer: Visitor, change: dict[str, Any]
) -> None:
    wish = {"id": front.sell(), "quantity": 1, **change}
    before = front.snapshot()

    answer = customer.http.post("/orders/", json=wish)

    assert problem_of(answer) == (422, "invalid")
    assert front.snapshot() == before


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param({"items": []}, id="no lines"),
        pytest.param({"items": [{"product_id": 1, "quantity": 1}] * 101}, id="too many lines"),
        pytest.param({"items": [{"product_id": 1}]}, id="a line without a quantity"),
        pytest.param({"items": [{"quantity": 1}]}, id="a line without a product"),
        pytest.param({"items": [{"product_id": 1, "quantity": 1, "price": 1}]}, id="a price"),
        pytest.param({"items": [{"product_id": 1, "quantity": 0}]}, id="a line of none"),
        pytest.param({"items": [{"product_id": 1, "quantity": -1}]}, id="a line of less"),
        pytest.param({"items": [{"product_id": 1, "quantity": 1.5}]}, id="a line of 1.5"),
        pytest.param({"items": [{"product_id": 1, "quantity": "1"}]}, id="a line in words"),
        pytest.param({"items": [{"product_id": 1, "quantity": True}]}, id="a line of true"),
        pytest.param({"items": [{"product_id": 1, "quantity": 2**31}]}, id="a line of 2^31"),
        pytest.param({"items": [{"product_id": 1, "quantity": 2**63}]}, id="a line of 2^63"),
        pytest.param({"items": {"product_id": 1, "quantity": 1}}, id="an object of lines"),
        pytest.param({"items": [[1, 1]]}, id="lists of lines"),
        pytest.param({"items": None}, id="null"),
        pytest.param({"items": [{"product_id": 1, "quantity": 1}], "quantity": 1}, id="quantity"),
        pytest.param({"products": []}, id="no products"),
        pytest.param({"products": [1] * 101}, id="too many products"),
        pytest.param({"products": [1] * 10_001}, id="10,001 products"),
        pytest.param({"products": [True]}, id="product true"),
        pytest.param({"products": [1.0]}, id="product 1.0"),
        pytest.param({"products": 1}, id="a product alone"),
        pytest.param({"quantity": 1}, id="a quantity alone"),
    ],
)
def test_lines_without_sense_are_refused(
    front: Shopfront, customer: Visitor, wish: dict[str, Any]
) -> None:
    answer = customer.http.post("/orders/", json=wish)

    assert problem_of(answer) == (422, "invalid")
    assert front.told() == []


def test_a_refusal_names_the_field(front: Shopfront, customer: Visitor) -> None:
    answer = customer.http.post(
        "/orders/", json={"items": [{"product_id": 1, "quantity": 1}, {"product_id": 1}]}
    )

    assert answer.json()["errors"] == [{"field": "items.1.quantity", "message": "Field required"}]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=-1", "invalid"),
        ("limit=0", "invalid"),
        ("limit=101", "invalid"),
        ("limit=1000000000", "invalid"),
        ("limit=ten", "invalid"),
        ("limit=", "invalid"),
        ("limit=1&limit=2", "repeated_parameter"),
        ("status=done", "invalid"),
        ("cursor=", "bad_cursor"),
        ("cursor=garbage", "bad_cursor"),
        ("cursor=%00", "bad_cursor"),
        ("cursor=YmVsb3c6LTE", "bad_cursor"),
        (f"cursor={'A' * 5000}", "bad_cursor"),
    ],
)
def test_a_query_without_sense_is_refused(
    front: Shopfront, customer: Visitor, query: str, code: str
) -> None:
    answer = customer.http.get(f"/orders/?{query}")

    assert problem_of(answer) == (422, code)


@pytest.mark.parametrize(
    ("order_id", "problem"),
    [
        ("0", (422, "invalid")),
        ("-1", (422, "invalid")),
        ("1.5", (422, "invalid")),
        ("abc", (422, "invalid")),
        ("9223372036854775808", (422, "invalid")),
        ("9223372036854775807", (404, "order_not_found")),
        ("1%00", (422, "invalid")),
        ("1'--", (422, "invalid")),
    ],
)
def test_an_order_that_cannot_be_is_not_shown(
    front: Shopfront, customer: Visitor, order_id: str, problem: tuple[int, str]
) -> None:
    assert problem_of(customer.http.get(f"/orders/{order_id}")) == problem


def test_who_may_not_order_is_not_told_what_is_wrong_with_it(
    front: Shopfront, customer: Visitor
) -> None:
    customer.http.post("/auth/logout")

    answers = [
        customer.http.post("/orders/", json={}),
        customer.http.post("/orders/", content=SOUND, headers={"Content-Type": "text/plain"}),
        front.stranger().post("/orders/", json={}),
    ]

    assert [problem_of(answer) for answer in answers] == [
        (401, "token_revoked"), (401, "token_revoked"), (401, "token_required"),
    ]  # fmt: skip
