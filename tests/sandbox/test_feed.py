"""The product feed: twenty products in FakeStore's shape, entity tags, faults of its own."""

from decimal import Decimal
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import httpx
import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming

FIELDS = ["id", "title", "price", "description", "category", "image", "rating"]


def test_twenty_products_have_the_known_shape(feed: httpx.Client) -> None:
    products = feed.get("/products").json()

    assert [product["id"] for product in products] == list(range(1, 21))
    assert all(list(product) == FIELDS for product in products)
    assert all(set(product["rating"]) == {"rate", "count"} for product in products)
    assert len({product["title"] for product in products}) == 20
    assert all(Decimal(str(product["price"])) > 0 for product in products)


def test_first_two_prices_add_up_to_the_old_example(feed: httpx.Client) -> None:
    prices = [feed.get(f"/products/{number}").json()["price"] for number in (1, 2)]

    assert prices == [50.00, 33.33]


@pytest.mark.parametrize("product_id", ["0", "21", "abc", "-1", "%00"])
def test_unknown_product_is_null(feed: httpx.Client, product_id: str) -> None:
    answer = feed.get(f"/products/{product_id}")

    assert (answer.status_code, answer.json()) == (200, None)


def test_unchanged_list_is_not_sent_again(feed: httpx.Client) -> None:
    tag = feed.get("/products").headers["etag"]

    answers = [
        feed.get("/products", headers={"if-none-match": known})
        for known in (tag, f'"x", W/{tag}', '"x"')
    ]

    assert [answer.status_code for answer in answers] == [304, 304, 200]
    assert answers[0].content == b""


def test_every_product_has_a_picture_of_its_own(feed: httpx.Client) -> None:
    images = [product["image"] for product in feed.get("/products").json()]

    pictures = [feed.get(image) for image in images]

    assert all(image.startswith(f"{feed.base_url}") for image in images)
    assert {picture.headers["content-type"] for picture in pictures} == {"image/svg+xml"}
    roots = [ET.fromstring(picture.text) for picture in pictures]  # noqa: S314 - drawn here
    assert {root.tag for root in roots} == {"{http://www.w3.org/2000/svg}svg"}
    assert len({picture.text.partition("</title>")[2] for picture in pictures}) == 20
    assert not any("<text" in picture.text for picture in pictures)  # initials: no drawing
    assert max(len(picture.content) for picture in pictures) < 8_000
    assert feed.get("/images/21.svg").status_code == 404


def test_a_picture_is_kept_for_a_day_and_then_asked_for_by_its_tag(feed: httpx.Client) -> None:
    first = feed.get("/images/1.svg")
    again = feed.get("/images/1.svg", headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "public, max-age=86400"
    assert again.status_code == 304


@pytest.mark.parametrize(("fault", "left"), [("empty", 0), ("shrunken", 5)])
def test_list_can_lose_products(feed: httpx.Client, arm: "Arming", fault: str, left: int) -> None:
    arm(feed, fault, times=1)

    lengths = [len(feed.get("/products").json()) for _ in range(2)]

    assert lengths == [left, 20]
