"""The supplier's feed is read with limits and believed only where it makes sense."""

import gzip
from typing import Any

import orjson
import pytest

from shop import feed, feed_items, money
from shop.feed import FeedUnusable
from shop.products import Draft
from tests.shop.canned import CannedServer
from tests.shop.conftest import PATIENT_S
from tests.support.processes import free_port
from tests.support.sandbox import Sandbox

ITEM = {
    "id": 7,
    "title": "Oak Desk Lamp",
    "price": 74.5,
    "description": "Warm.",
    "category": "home",
    "image": "/images/7.svg",
    "rating": {"rate": 4.1},
}


def _fetch(url: str, *, currency: str, timeout_s: float = PATIENT_S) -> dict[str, Draft]:
    fetched = feed.fetch(url, currency=currency, timeout_s=timeout_s, is_stand_in=True)
    assert fetched is not None
    return {offer.external_id: offer.draft for offer in fetched.offers if offer.draft}


def test_an_item_becomes_a_draft(canned: CannedServer) -> None:
    canned.answer(200, orjson.dumps([ITEM]))

    drafts = _fetch(canned.url, currency="EUR")

    draft = drafts["7"]
    assert (draft.name, draft.price_minor, draft.currency) == ("Oak Desk Lamp", 7450, "EUR")
    assert (draft.description, draft.category) == ("Warm.", "home")
    assert draft.image == f"{canned.url}/images/7.svg"


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ("7.png", "https://shop.example/v1/7.png"),
        ("/7.png", "https://shop.example/7.png"),
        ("//cdn.example/7.png", "https://cdn.example/7.png"),
        ("../../../etc/passwd", "https://shop.example/etc/passwd"),
    ],
)
def test_an_image_beside_the_feed_is_found_without_the_feeds_login(given: str, image: str) -> None:
    base = "https://ada:secret@shop.example/v1/products?key=secret"

    offer = feed_items.parse({**ITEM, "image": given}, currency="USD", base=base)

    assert offer.draft is not None
    assert offer.draft.image == image


def test_the_suppliers_order_is_kept(canned: CannedServer) -> None:
    canned.answer(200, orjson.dumps([{**ITEM, "id": number} for number in (3, 1, 2)]))

    drafts = _fetch(canned.url, currency="USD")

    assert list(drafts) == ["3", "1", "2"]


def test_the_stand_in_is_a_feed(world: Sandbox) -> None:
    drafts = _fetch(world.feed_url, currency="USD")

    assert len(drafts) == 20
    assert (drafts["1"].price_minor, drafts["2"].price_minor) == (5000, 3333)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"price": 0}, {"price_minor": 0}, id="free"),
        pytest.param({"price": 109}, {"price_minor": 10_900}, id="a whole number"),
        pytest.param({"price": 0.1}, {"price_minor": 10}, id="a dime"),
        pytest.param({"title": "  Lamp \n"}, {"name": "Lamp"}, id="white space around"),
        pytest.param({"title": "Oak\r\nLamp"}, {"name": "Oak Lamp"}, id="two lines"),
        pytest.param({"title": "x" * 301}, {"name": "x" * 300}, id="a long title"),
        pytest.param({"title": "Lampe 💡 ß"}, {"name": "Lampe 💡 ß"}, id="every character"),
        pytest.param({"category": "c" * 121}, {"category": "c" * 120}, id="a long category"),
        *(
            pytest.param({"image": given}, {"image": kept}, id=f"an image {given[:24]}")
            for given, kept in [
                ("https://cdn.example/7.jpg?w=400", "https://cdn.example/7.jpg?w=400"),
                ("javascript:alert(1)", ""),
                ("data:image/svg+xml,<svg/>", ""),
                ("file:///etc/passwd", ""),
                ("https://ada:secret@cdn.example/7.jpg", ""),
                ("http://[/7.jpg", ""),
                ("https:///7.jpg", ""),
                ("https://cdn.example/" + "x" * 1000, ""),
                ("", ""),
            ]
        ),
    ],
)
def test_an_odd_item_is_taken(
    canned: CannedServer, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    canned.answer(200, orjson.dumps([{**ITEM, **change}]))

    draft = _fetch(canned.url, currency="USD")["7"]

    assert {name: getattr(draft, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"price": -0.01}, "price: ", id="a negative price"),
        pytest.param({"price": 1.005}, "price: ", id="a price of three decimals"),
        pytest.param({"price": money.MAX_MINOR / 100}, "price: ", id="a price beyond all measure"),
        pytest.param({"price": 1e300}, "price: ", id="a price of three hundred digits"),
        pytest.param({"price": "1e999999999"}, "price: ", id="a price in words"),
        pytest.param({"price": True}, "price: ", id="a price of true"),
        pytest.param({"price": None}, "price: ", id="no price"),
        pytest.param({"price": [1]}, "price: ", id="a price in a list"),
        pytest.param({"title": None}, "title: ", id="no title"),
        pytest.param({"title": " "}, "title: ", id="an empty title"),
        pytest.param({"title": 5}, "title: ", id="a number for a title"),
        pytest.param({"description": 5}, "description: ", id="a number for a description"),
        pytest.param({"id": None}, "id: ", id="no id"),
        pytest.param({"id": ""}, "id: ", id="an empty id"),
        pytest.param({"id": True}, "id: ", id="an id of true"),
        pytest.param({"id": {"a": 1}}, "id: ", id="an object for an id"),
        pytest.param({"id": "x" * 65}, "id: ", id="an id longer than its column"),
        pytest.param({"title": "red\x1b[31m"}, "title: ", id="a coloured title"),
        pytest.param({"title": "a\x00b"}, "title: ", id="a title with NUL"),
        pytest.param({"image": 5}, "image: ", id="a number for an image"),
        pytest.param({"description": "a\u202eb"}, "description: ", id="a text that runs backwards"),
        pytest.param({"deleted": "yes"}, "deleted: ", id="deleted in words"),
    ],
)
def test_an_item_without_sense_spoils_the_feed(
    canned: CannedServer, change: dict[str, Any], reason: str
) -> None:
    canned.answer(200, orjson.dumps([ITEM, {**ITEM, "id": 8, **change}]))

    with pytest.raises(FeedUnusable, match=f"1 of its 2 items make no sense; the first: {reason}"):
        _fetch(canned.url, currency="USD")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        pytest.param(200, b"", "not JSON", id="empty"),
        pytest.param(200, b"<html>", "not JSON", id="html"),
        pytest.param(200, b"[" * 100_000, "not JSON", id="deeply nested"),
        pytest.param(200, b'[{"price": NaN}]', "not JSON", id="NaN"),
        pytest.param(200, b'[{"id": 1, "title": "a", "price": 1e999}]', "JSON|price", id="1e999"),
        pytest.param(200, b'[{"title": "\\ud800"}]', "not JSON", id="half a character"),
        pytest.param(200, b'[{"id": 1}', "not JSON", id="truncated"),
        pytest.param(200, b"null", "no products", id="null"),
        pytest.param(200, b"{}", "no products", id="an object"),
        pytest.param(200, b"[]", "no products", id="an empty list"),
        pytest.param(200, b"[5]", "not an object", id="numbers"),
        pytest.param(200, b"[[]]", "not an object", id="lists"),
        pytest.param(200, b'["a"]', "not an object", id="words"),
        pytest.param(200, b"[{}]", "id: ", id="empty objects"),
        pytest.param(500, b"[]", "answered 500", id="an error"),
        pytest.param(204, b"", "answered 204", id="nothing"),
        pytest.param(304, b"", "answered 304", id="unchanged, which nobody asked"),
    ],
)
def test_a_feed_without_sense_is_unusable(
    canned: CannedServer, status: int, body: bytes, reason: str
) -> None:
    canned.answer(status, body)

    with pytest.raises(FeedUnusable, match=reason):
        _fetch(canned.url, currency="USD")


@pytest.mark.parametrize("again", [7, "7", " 7 "])
def test_two_items_of_one_id_spoil_the_feed(canned: CannedServer, again: object) -> None:
    canned.answer(200, orjson.dumps([ITEM, {**ITEM, "id": again}]))

    with pytest.raises(FeedUnusable, match="same id"):
        _fetch(canned.url, currency="USD")


def test_a_feed_that_sends_us_elsewhere_is_not_followed(canned: CannedServer) -> None:
    canned.answer(302, b"", headers={"Location": f"{canned.url}/elsewhere"})

    with pytest.raises(FeedUnusable, match="answered 302"):
        _fetch(canned.url, currency="USD")


def test_an_endless_feed_is_cut_off(canned: CannedServer) -> None:
    canned.answer(
        200, gzip.compress(b" " * (feed.MOST_BYTES + 1)), headers={"Content-Encoding": "gzip"}
    )

    with pytest.raises(FeedUnusable, match="larger than"):
        _fetch(canned.url, currency="USD")


def test_a_feed_that_drips_is_cut_off(canned: CannedServer) -> None:
    canned.drip(every_s=0.02)

    with pytest.raises(FeedUnusable, match="longer than"):
        _fetch(canned.url, currency="USD", timeout_s=0.2)


def test_a_silent_feed_is_unusable(canned: CannedServer) -> None:
    canned.drip(every_s=30)

    with pytest.raises(FeedUnusable, match="longer than"):
        _fetch(canned.url, currency="USD", timeout_s=0.2)


def test_a_feed_that_nobody_serves_is_unusable() -> None:
    with pytest.raises(FeedUnusable, match="ConnectError"):
        _fetch(f"http://127.0.0.1:{free_port()}/", currency="USD")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://[", "nothing", "http://\u0000/"])
def test_an_address_that_is_none_makes_the_feed_unusable(url: str) -> None:
    with pytest.raises(FeedUnusable, match="reading it failed"):
        _fetch(url, currency="USD")


def test_what_is_wrong_is_told_without_the_address(canned: CannedServer) -> None:
    canned.answer(500, b"")

    with pytest.raises(FeedUnusable) as refused:
        _fetch(f"{canned.url}/products?key=secret", currency="USD")

    assert "secret" not in refused.value.detail
