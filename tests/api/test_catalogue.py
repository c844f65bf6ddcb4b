"""The list's filters and orders, versions of a product, its stock, and syncs over HTTP."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.shopfront import Shopfront, Visitor, problem_of

pytest_plugins = ("tests.api.shop_fixtures",)

LAMP = {"name": "Oak Desk Lamp", "price": 74.5}


@pytest.mark.parametrize(
    ("sort", "prices"),
    [
        ("newest", [2.0, 1.0, 3.0, 1.0]),
        ("price", [1.0, 1.0, 2.0, 3.0]),
        ("-price", [3.0, 2.0, 1.0, 1.0]),
        ("name", [1.0, 3.0, 1.0, 2.0]),
    ],
)
def test_a_list_is_read_page_by_page_in_every_order(
    front: Shopfront, sort: str, prices: list[float]
) -> None:
    made = [front.sell(price) for price in (100, 300, 100, 200)]

    rows = list(_rows(front.stranger(), f"/products/?sort={sort}&limit=1&min_price=0.5"))

    assert [row["price"] for row in rows] == prices
    assert sorted(row["id"] for row in rows) == made


def test_a_cursor_belongs_to_its_order(front: Shopfront) -> None:
    for _ in range(2):
        front.sell()
    http = front.stranger()
    link = http.get("/products/?sort=price&limit=1").links["next"]["url"]

    answer = http.get(link.replace("sort=price", "sort=-price"))

    assert problem_of(answer) == (422, "bad_cursor")


def test_a_list_shows_what_can_be_ordered(front: Shopfront) -> None:
    gone, there = front.sell(quantity=1), front.sell(quantity=1)
    front.place({gone: 1})
    http = front.stranger()

    found = {
        asked: [row["id"] for row in http.get(f"/products/?in_stock={asked}").json()]
        for asked in ("true", "false")
    }

    assert found == {"true": [there], "false": [gone]}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("sort=PRICE", "invalid"),
        ("sort=", "invalid"),
        ("sort=price,name", "invalid"),
        ("limit=-1", "invalid"),
        ("min_price=-1", "invalid"),
        ("min_price=1e2", "invalid"),
        ("min_price=0.001", "invalid"),
        ("min_price=%D9%A1", "invalid"),
        ("min_price=NaN", "invalid"),
        ("max_price=99999999999", "invalid"),
        ("max_price=", "invalid"),
        ("min_price=2&max_price=1", "price_range_reversed"),
        ("in_stock=perhaps", "invalid"),
        ("in_stock=1", "invalid"),
        ("sort=name&sort=price", "repeated_parameter"),
        ("cursor=WyJuZXdlc3QiLG51bGwsMF0", "bad_cursor"),
        ("cursor=WyJuZXdlc3QiLG51bGwsdHJ1ZV0", "bad_cursor"),
        ("cursor=WyJuZXdlc3QiLDUsMV0", "bad_cursor"),
        ("cursor=WyJuZXdlc3QiLG51bGwsMV0=", "bad_cursor"),
        ("cursor=W1tbW1tbW1tb", "bad_cursor"),
        (f"cursor={'W1tb' * 1000}", "bad_cursor"),
        ("cursor=YmVsb3c6Mw", "bad_cursor"),
    ],
)
def test_a_list_without_sense_is_refused(front: Shopfront, query: str, code: str) -> None:
    front.sell()

    assert problem_of(front.stranger().get(f"/products/?{query}")) == (422, code)


def test_every_answer_about_a_product_names_its_version(operator: Visitor) -> None:
    made = operator.http.post("/products/", json=LAMP)
    path = made.headers["Location"]

    answers = [
        made,
        operator.http.get(path),
        operator.http.patch(path, json={"price": 80}),
        operator.http.put(path, json=LAMP),
    ]

    assert [answer.headers["ETag"] for answer in answers] == ['"1"', '"1"', '"2"', '"3"']


@pytest.mark.parametrize(
    ("method", "tag"),
    [("PUT", '"2"'), ("PATCH", 'W/"1"'), ("DELETE", '"other"'), ("PATCH", '"2", "3"')],
)
def test_what_has_changed_since_is_not_overwritten(
    front: Shopfront, operator: Visitor, method: str, tag: str
) -> None:
    product = front.sell()
    before = front.snapshot()

    answer = operator.http.request(
        method, f"/products/{product}", json=LAMP, headers={"If-Match": tag}
    )

    assert problem_of(answer) == (412, "precondition_failed")
    assert answer.json()["version"] == 1
    assert front.snapshot() == before


@pytest.mark.parametrize("lines", [['"1"'], ["*"], ['"7", "1"'], ['"7"', '"1"']])
def test_what_is_as_it_was_read_is_changed(
    front: Shopfront, operator: Visitor, lines: list[str]
) -> None:
    path = f"/products/{front.sell()}"

    answer = operator.http.patch(path, json=LAMP, headers=[("If-Match", line) for line in lines])

    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')


@pytest.mark.parametrize("tag", ["1", '"1', "", ",", '"1";', "x" * 600, '"1" "2"'])
def test_a_tag_that_is_none_is_refused(front: Shopfront, operator: Visitor, tag: str) -> None:
    path = f"/products/{front.sell()}"

    answer = operator.http.patch(path, json=LAMP, headers={"If-Match": tag})

    assert problem_of(answer) == (422, "bad_if_match")


def test_a_version_that_is_known_is_not_sent_again(front: Shopfront) -> None:
    path = f"/products/{front.sell()}"
    http = front.stranger()

    answers = [
        http.get(path, headers={"If-None-Match": tag}) for tag in ('W/"1"', "*", '"2"', "nonsense")
    ]

    assert [answer.status_code for answer in answers] == [304, 304, 200, 200]
    assert (answers[0].headers["ETag"], answers[0].content) == ('"1"', b"")


def test_a_price_is_pinned_and_let_go(front: Shopfront, operator: Visitor) -> None:
    path = f"/products/{front.sell()}"

    pinned = operator.http.patch(path, json={"price_pinned": True}).json()
    loose = operator.http.patch(path, json={"price_pinned": False}).json()

    assert (pinned["price_pinned"], loose["price_pinned"], loose["version"]) == (True, False, 3)


def test_stock_is_moved_and_shown(front: Shopfront, operator: Visitor) -> None:
    product = front.sell(quantity=10)
    front.place({product: 4})
    path = f"/products/{product}/stock"

    moved = operator.http.post(path, json={"change": -2, "reason": "damage", "note": "wet"})
    shown = operator.http.get(path).json()

    assert moved.status_code == 201
    assert (moved.json()["on_hand"], moved.json()["user_id"]) == (8, operator.id)
    assert [shown[name] for name in ("on_hand", "reserved", "available")] == [8, 4, 4]
    assert shown["movements"] == [moved.json()]


def test_movements_are_read_page_by_page(front: Shopfront, operator: Visitor) -> None:
    path = f"/products/{front.sell()}/stock"
    for change in (1, 2, 3):
        operator.http.post(path, json={"change": change, "reason": "delivery"})

    first = operator.http.get(f"{path}?limit=2")
    rest = operator.http.get(first.links["next"]["url"])

    assert [row["change"] for row in first.json()["movements"] + rest.json()["movements"]] == [
        3,
        2,
        1,
    ]


def test_the_same_key_moves_once(front: Shopfront, operator: Visitor) -> None:
    path, key = f"/products/{front.sell(quantity=10)}/stock", {"Idempotency-Key": "a"}
    wish = {"change": 5, "reason": "delivery"}

    answers = [operator.http.post(path, json=wish, headers=key) for _ in range(2)]
    other = operator.http.post(path, json={**wish, "change": 6}, headers=key)

    assert answers[0].json() == answers[1].json()
    assert problem_of(other) == (422, "idempotency_key_reused")
    assert operator.http.get(path).json()["on_hand"] == 15


def test_what_orders_hold_is_not_taken(front: Shopfront, operator: Visitor) -> None:
    product = front.sell(quantity=10)
    front.place({product: 4})
    before = front.snapshot()

    answer = operator.http.post(
        f"/products/{product}/stock", json={"change": -7, "reason": "damage"}
    )

    assert problem_of(answer) == (409, "stock_reserved")
    assert front.snapshot() == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"change": 1},
        {"reason": "delivery"},
        {"change": 0, "reason": "delivery"},
        {"change": 1.5, "reason": "delivery"},
        {"change": "1", "reason": "delivery"},
        {"change": True, "reason": "delivery"},
        {"change": 2**31, "reason": "delivery"},
        {"change": -(2**63), "reason": "delivery"},
        {"change": 1, "reason": "theft"},
        {"change": 1, "reason": None},
        {"change": 1, "reason": "delivery", "note": "x" * 501},
        {"change": 1, "reason": "delivery", "note": "a\x1b[2J"},
        {"change": 1, "reason": "delivery", "on_hand": 5},
        {"change": 1, "reason": "delivery", "user_id": 1},
        [],
    ],
)
def test_a_movement_without_sense_is_refused(
    front: Shopfront, operator: Visitor, body: Any
) -> None:
    product = front.sell()
    before = front.snapshot()

    answer = operator.http.post(f"/products/{product}/stock", json=body)

    assert problem_of(answer) == (422, "invalid")
    assert front.snapshot() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/products/{id}/stock"),
        ("GET", "/products/{id}/stock"),
        ("GET", "/products/syncs"),
    ],
)
def test_stock_and_syncs_are_for_operators(
    front: Shopfront, customer: Visitor, method: str, path: str
) -> None:
    path = path.format(id=front.sell())
    body = {"change": 1, "reason": "delivery"}

    by_customer = customer.http.request(method, path, json=body)
    by_stranger = front.stranger().request(method, path, json=body)

    assert problem_of(by_customer) == (403, "role_required")
    assert problem_of(by_stranger) == (401, "token_required")


def test_a_dry_run_is_asked_for_and_listed(operator: Visitor) -> None:
    wish = operator.http.post("/products/sync", json={"dry_run": True}).json()

    listed = operator.http.get("/products/syncs").json()

    assert wish == {"id": wish["id"], "status": "requested", "dry_run": True}
    assert [(run["id"], run["dry_run"], run["report"]) for run in listed] == [
        (wish["id"], True, None)
    ]


@pytest.mark.parametrize("body", [{"dry_run": "yes"}, {"dry_run": 1}, {"dryrun": True}, []])
def test_a_wish_without_sense_is_refused(front: Shopfront, operator: Visitor, body: Any) -> None:
    answer = operator.http.post("/products/sync", json=body)

    assert problem_of(answer) == (422, "invalid")
    assert front.wishes() == {}


def _rows(http: httpx.Client, url: str) -> Iterator[dict[str, Any]]:
    while url:
        page = http.get(url)
        yield from page.json()
        url = page.links.get("next", {}).get("url", "")
