"""GET /events/history over a real server: whoever was away catches up, and sees only his own."""

from typing import Any

import httpx
import pytest

from accounts.tables import Role
from tests.api.conftest import Person, register
from tests.api.event_stage import People, Stage
from tests.support.outbox import prune, restore_older

pytest_plugins = ("tests.api.event_fixtures",)


def ask(stage: Stage, person: Person | None = None, **query: Any) -> httpx.Response:
    with stage.api.client(person.token if person else None) as client:
        return client.get("/events/history", params=query)


def walk(stage: Stage, person: Person | None = None, **query: Any) -> list[list[dict[str, Any]]]:
    """Follow the links from page to page, up to the empty one."""
    pages: list[list[dict[str, Any]]] = []
    with stage.api.client(person.token if person else None) as client:
        answer = client.get("/events/history", params=query)
        while answer.json():
            pages.append(answer.json())
            answer = client.get(answer.links["next"]["url"])
    assert answer.links == {}
    return pages


def test_pages_hold_every_event_once_in_order(own_stage: Stage) -> None:
    own_stage.tell("market.news", 7)

    pages = walk(own_stage, topic="market.news", limit=3)

    assert [[event["data"]["n"] for event in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7]]
    assert pages[0][0]["source"] == "/tradepost/market.news"
    newest = ask(own_stage, topic="market.news", newest=True, limit=2)
    assert [event["data"]["n"] for event in newest.json()] == [6, 7]
    assert "after=1-7&" in newest.links["next"]["url"]


def test_page_shows_events_as_the_stream_does(stage: Stage) -> None:
    with stage.stream("products") as stream:
        (ready,) = stream.take(1)
        stage.tell("products", colour="red")
        (event,) = stream.take(1)

    told = ask(stage, topic="products", after=ready.id.removeprefix("products:")).json()

    assert told == [event.data]


def test_customer_reads_own_orders_and_payments_only(own_stage: Stage) -> None:
    ada, bob = register(own_stage.api), register(own_stage.api)
    orders = [place_order(own_stage, person) for person in (ada, bob, ada)]
    own_stage.publish()
    mine = f"orders/{orders[0]}"

    pages = walk(own_stage, ada, topic="orders", limit=1)

    assert [event["subject"] for (event,) in pages] == [mine, f"orders/{orders[2]}"]
    assert [
        event["subject"] for event in ask(own_stage, ada, topic="orders", subject=mine).json()
    ] == [mine]
    newest = ask(own_stage, ada, topic="orders", newest=True, limit=1).json()
    assert [event["subject"] for event in newest] == [f"orders/{orders[2]}"]
    hidden = ask(own_stage, bob, topic="orders", subject=mine)
    assert (hidden.json(), hidden.links) == ([], {})
    assert ask(own_stage, bob, topic="payments").status_code == httpx.codes.OK


def place_order(stage: Stage, buyer: Person) -> int:
    operator = register(stage.api, Role.OPERATOR)
    with stage.api.client(operator.token) as client:
        product = client.post("/products/", json={"name": "Lamp", "price": 5, "quantity": 9}).json()
    with stage.api.client(buyer.token) as client:
        order_id: int = client.post("/orders/", json={"id": product["id"]}).json()["id"]
    return order_id


def test_events_no_longer_kept_are_a_410_that_tells_where_to_go_on(own_stage: Stage) -> None:
    own_stage.tell("products", 5)
    prune(own_stage.database, "products", up_to=3)

    gone = ask(own_stage, topic="products", after="1-1")
    rest = ask(own_stage, topic="products", after=gone.json()["go_on_after"])

    assert (gone.status_code, gone.json()["code"]) == (410, "events_gone")
    assert (gone.json()["after"], gone.json()["before"]) == (1, 4)
    assert [event["id"] for event in rest.json()] == ["1-4", "1-5"]
    assert ask(own_stage, topic="products").json() == rest.json()
    assert ask(own_stage, topic="products", newest=True).json() == rest.json()


@pytest.mark.parametrize("after", ["1-999999", "9-1"])
def test_position_that_never_was_is_told(stage: Stage, after: str) -> None:
    answer = ask(stage, topic="products", after=after)

    assert (answer.status_code, answer.json()["code"]) == (409, "position_unknown")


def test_position_of_before_a_restore_is_told_with_what_did_not_happen(own_stage: Stage) -> None:
    own_stage.tell("products", 5)
    restore_older(own_stage.database, "products", last_seq=3)
    own_stage.tell("products")

    answer = ask(own_stage, topic="products", after="1-5")

    assert (answer.status_code, answer.json()["began"]) == (409, "2-4")
    assert [event["id"] for event in ask(own_stage, topic="products", after="1-3").json()] == [
        "2-4"
    ]


@pytest.mark.parametrize("after", ["abc", "1-01", "1", "-", f"1-{2**63}", "1-1\n"])
def test_position_that_is_no_id_is_refused(stage: Stage, after: str) -> None:
    answer = ask(stage, topic="products", after=after)

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_position")
    answer = ask(stage, topic="products", after="1-1", newest=True)
    assert (answer.status_code, answer.json()["code"]) == (422, "newest_alone")


@pytest.mark.parametrize(
    ("topic", "name", "status"),
    [
        ("orders", None, 401),
        ("tasks", "customer", 403),
        ("tasks", "operator", 200),
        ("no", None, 422),
    ],
)
def test_topic_is_open_to_whom_its_stream_is(
    stage: Stage, people: People, topic: str, name: str | None, status: int
) -> None:
    answer = ask(stage, getattr(people, name) if name else None, topic=topic)

    assert answer.status_code == status
