"""The supplier's feed is read with limits and believed only where it makes sense."""

import gzip
from typing import Any

import orjson
import pytest

from shop import feed, money
from shop.feed import FeedUnusable
from tests.shop.canned import CannedServer
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


def test_an_item_becomes_a_draft(canned: CannedServer) -> None:
    canned.answer(200, orjson.dumps([ITEM]))

    drafts = feed.fetch(canned.url, currency="EUR")

    draft = drafts["7"]
    assert (draft.name, draft.price_minor, draft.currency) == ("Oak Desk Lamp", 7450, "EUR")
    assert (draft.description, draft.category, draft.image) == ("Warm.", "home", "/images/7.svg")


def test_the_suppliers_order_is_kept(canned: CannedServer) -> None:
    canned.answer(200, orjson.dumps([{**ITEM, "id": number} for number in (3, 1, 2)]))

    drafts = feed.fetch(canned.url, currency="USD")

    assert list(drafts) == ["3", "1", "2"]


def test_the_stand_in_is_a_feed(world: Sandbox) -> None:
    drafts = feed.fetch(world.feed_url, currency="USD")

    assert len(drafts) == 20
    assert (drafts["1"].price_minor, drafts["2"].price_minor) == (5000, 3333)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"price": 0}, {"price_minor": 0}, id="free"),
        pytest.param({"price": 109}, {"price_minor": 10_900}, id="a whole number"),
        pytest.param({"price": 0.1}, {"price_minor": 10}, id="a dime"),
        pytest.param({"title": "  Lamp \n"}, {"name": "Lamp"}, id="white space around"),
        pytest.param({"title": "x" * 301}, {"name": "x" * 300}, id="a long title"),
        pytest.param({"title": "Lampe 💡 ß"}, {"name": "Lampe 💡 ß"}, id="every character"),
        pytest.param({"category": "c" * 121}, {"category": "c" * 120}, id="a long category"),
    ],
)
def test_an_odd_item_is_taken(
    canned: CannedServer, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    canned.answer(200, orjson.dumps([{**ITEM, **change}]))

    draft = feed.fetch(canned.url, currency="USD")["7"]

    assert {name: getattr(draft, name) for name in expected} == expected


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"price": -0.01}, id="a negative price"),
        pytest.param({"price": 1.005}, id="a price of three decimals"),
        pytest.param({"price": money.MAX_MINOR / 100}, id="a price beyond all measure"),
        pytest.param({"price": 1e300}, id="a price of three hundred digits"),
        pytest.param({"price": "1e999999999"}, id="a price in words"),
        pytest.param({"price": True}, id="a price of true"),
        pytest.param({"price": None}, id="no price"),
        pytest.param({"price": [1]}, id="a price in a list"),
        pytest.param({"title": None}, id="no title"),
        pytest.param({"title": " "}, id="an empty title"),
        pytest.param({"title": 5}, id="a number for a title"),
        pytest.param({"description": 5}, id="a number for a description"),
        pytest.param({"id": None}, id="no id"),
        pytest.param({"id": ""}, id="an empty id"),
        pytest.param({"id": True}, id="an id of true"),
        pytest.param({"id": {"a": 1}}, id="an object for an id"),
        pytest.param({"id": "x" * 65}, id="an id longer than its column"),
    ],
)
def test_an_item_without_sense_spoils_the_feed(
    canned: CannedServer, change: dict[str, Any]
) -> None:
    canned.answer(200, orjson.dumps([ITEM, {**ITEM, "id": 8, **change}]))

    with pytest.raises(FeedUnusable, match="no sensible id, title or price"):
        feed.fetch(canned.url, currency="USD")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        pytest.param(200, b"", "not JSON", id="empty"),
        pytest.param(200, b"<html>", "not JSON", id="html"),
        pytest.param(200, b"[" * 100_000, "not JSON", id="deeply nested"),
        pytest.param(200, b'[{"price": NaN}]', "not JSON", id="NaN"),
        pytest.param(200, b"null", "no products", id="null"),
        pytest.param(200, b"{}", "no products", id="an object"),
        pytest.param(200, b"[]", "no products", id="an empty list"),
        pytest.param(200, b"[5]", "no sensible", id="numbers"),
        pytest.param(200, b"[[]]", "no sensible", id="lists"),
        pytest.param(200, b'["a"]', "no sensible", id="words"),
        pytest.param(200, b"[{}]", "no sensible", id="empty objects"),
        pytest.param(500, b"[]", "answered 500", id="an error"),
        pytest.param(204, b"", "answered 204", id="nothing"),
    ],
)
def test_a_feed_without_sense_is_unusable(
    canned: CannedServer, status: int, body: bytes, reason: str
) -> None:
    canned.answer(status, body)

    with pytest.raises(FeedUnusable, match=reason):
        feed.fetch(canned.url, currency="USD")


@pytest.mark.parametrize("again", [7, "7", " 7 "])
def test_two_items_of_one_id_spoil_the_feed(canned: CannedServer, again: object) -> None:
    canned.answer(200, orjson.dumps([ITEM, {**ITEM, "id": again}]))

    with pytest.raises(FeedUnusable, match="same id"):
        feed.fetch(canned.url, currency="USD")


def test_a_feed_that_sends_us_elsewhere_is_not_followed(canned: CannedServer) -> None:
    canned.answer(302, b"", headers={"Location": f"{canned.url}/elsewhere"})

    with pytest.raises(FeedUnusable, match="answered 302"):
        feed.fetch(canned.url, currency="USD")


def test_an_endless_feed_is_cut_off(canned: CannedServer) -> None:
    canned.answer(
        200, gzip.compress(b" " * (feed.MOST_BYTES + 1)), headers={"Content-Encoding": "gzip"}
    )

    with pytest.raises(FeedUnusable, match="larger than"):
        feed.fetch(canned.url, currency="USD")


def test_a_feed_that_drips_is_cut_off(canned: CannedServer) -> None:
    canned.drip(every_s=0.02)

    with pytest.raises(FeedUnusable, match="longer than"):
        feed.fetch(canned.url, currency="USD", timeout_s=0.2)


def test_a_silent_feed_is_unusable(canned: CannedServer) -> None:
    canned.drip(every_s=30)

    with pytest.raises(FeedUnusable, match="ReadTimeout"):
        feed.fetch(canned.url, currency="USD", timeout_s=0.2)


def test_a_feed_that_nobody_serves_is_unusable() -> None:
    with pytest.raises(FeedUnusable, match="ConnectError"):
        feed.fetch(f"http://127.0.0.1:{free_port()}/", currency="USD")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://[", "nothing", "http://\u0000/"])
def test_an_address_that_is_none_makes_the_feed_unusable(url: str) -> None:
    with pytest.raises(FeedUnusable, match="reading it failed"):
        feed.fetch(url, currency="USD")


def test_what_is_wrong_is_told_without_the_address(canned: CannedServer) -> None:
    canned.answer(500, b"")

    with pytest.raises(FeedUnusable) as refused:
        feed.fetch(f"{canned.url}/products?key=secret", currency="USD")

    assert "secret" not in refused.value.detail
