"""What `make run` starts, on real input: ordered, paid, completed, seen live, stopped, kept."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from infra.db import Database
from shop.events import TOPICS as SHOP_TOPICS
from tests.e2e.conftest import StartRun
from tests.support import invariants
from tests.support.leases import let_goods_leave
from tests.support.processes import eventually
from tests.support.run import FLOWER_LOGIN, WholeRun
from tests.support.sse import EventStream, Received

OLD_ORDER: dict[str, Any] = {"user_id": 1, "products": [1, 2], "total_amount": 100}
PATIENCE_S = 60
PUT_OFF = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
QUOTE_KEYS = {"c", "d", "dp", "h", "l", "o", "pc", "t"}


@pytest.fixture(scope="module")
def run(start_run: StartRun) -> WholeRun:
    """A run in which paid orders stay so until time passes."""
    run = start_run(FULFILMENT_DELAY_S="600")
    eventually(lambda: run.get("/products/"), what="the first sync")
    return run


@pytest.fixture
def database(run: WholeRun) -> Iterator[Database]:
    opened = run.database()
    yield opened
    opened.engine.dispose()


def deliver(run: WholeRun, database: Database, order_id: int) -> None:
    """See that an order is paid, let its goods leave, and see that it is completed."""
    run.wait_for(order_id, "paid")
    let_goods_leave(database)
    run.wait_for(order_id, "completed")


def story_of(order_id: int, stream: EventStream, last: str) -> list[Received]:
    """Read a stream until an order has come to a state; return the order's events."""
    story = []
    for event in stream.events():
        if event.data.get("subject") == f"orders/{order_id}":
            story.append(event)
            if event.type == last:
                break
    return story


def test_it_answers(run: WholeRun) -> None:
    assert run.get("/auth/ping")["status"] == "ok"
    assert run.get("/readyz")["ready"]


def test_empty_catalogue_has_filled_itself(run: WholeRun) -> None:
    assert run.get("/products/1")["price"] == 50
    assert run.get("/products/2")["price"] == 33.33
    assert run.get("/products/1")["quantity"] <= 100


def test_order_in_the_old_form_is_paid_and_then_completed(
    run: WholeRun, database: Database
) -> None:
    placed = run.order(**OLD_ORDER)

    assert placed["total"] == 100
    deliver(run, database, placed["id"])
    assert run.ledger().kept(placed["id"]) == 10_000


def test_order_of_ten_of_one_product_costs_ten_fees(run: WholeRun, database: Database) -> None:
    placed = run.order(id=1, quantity=10)

    assert (placed["subtotal"], placed["fee"], placed["total"]) == (500, 100, 600)
    deliver(run, database, placed["id"])


def test_wrong_total_is_told_the_right_one(run: WholeRun) -> None:
    with run.http() as http:
        answer = http.post("/orders/", json={**OLD_ORDER, "total_amount": 99})

    assert (answer.status_code, answer.json()["code"]) == (409, "price_changed")
    assert answer.json()["total"] == 100


def test_order_is_seen_live_by_a_subscriber(run: WholeRun, database: Database) -> None:
    with EventStream(run.url("api"), topics="orders,market.quotes", timeout_s=PATIENCE_S) as stream:
        stream.take(1)
        placed = run.order(**OLD_ORDER)
        deliver(run, database, placed["id"])
        story = story_of(placed["id"], stream, last="order.completed")

    assert [event.type for event in story] == ["order.placed", "order.paid", "order.completed"]
    assert [event.data["version"] for event in story] == [1, 2, 3]
    assert story[-1].data["data"]["status"] == "completed"


def test_order_is_seen_by_a_plain_redis_reader(run: WholeRun, database: Database) -> None:
    placed = run.order(**OLD_ORDER)
    deliver(run, database, placed["id"])

    with run.redis() as client:
        subject = f"orders/{placed['id']}"
        eventually(lambda: len(entries_of(client, subject)) == 3)
        assert entries_of(client, subject) == ["order.placed", "order.paid", "order.completed"]


def entries_of(client: Any, subject: str) -> list[str]:
    ((_, entries),) = client.xread({"events:orders": "0"})
    return [fields["type"] for _, fields in entries if fields["subject"] == subject]


def ask_market(run: WholeRun, path: str, **query: str) -> Any:
    """Ask as callers are told to: again when put off, in the first minute's narrow budget."""

    def ask() -> httpx.Response | None:
        answer = http.get(path, params=query)
        return answer if answer.status_code not in PUT_OFF else None

    with run.http() as http:
        answer = eventually(ask, PATIENCE_S)
    assert answer is not None
    assert answer.is_success, answer.text
    return answer.json()


def test_quote_has_the_keys_of_the_source_and_is_seen_live(run: WholeRun) -> None:
    with EventStream(
        run.url("api"),
        topics="market.quotes",
        last_event_id="market.quotes:1-0",
        timeout_s=PATIENCE_S,
    ) as stream:
        quote = ask_market(run, "/market/quote", symbol="AAPL")
        event = next(event for event in stream.events() if event.type == "quote.updated")

    assert quote.keys() >= QUOTE_KEYS
    assert quote["source"] == "simulated"
    assert event.data["source"] == "/tradepost/market.quotes"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/market/company", {"symbol": "AAPL"}),
        ("/market/news", {"symbol": "AAPL"}),
        ("/market/forex", {"base": "USD"}),
        ("/market/crypto", {"symbol": "BTC"}),
    ],
)
def test_market_answers(run: WholeRun, path: str, query: dict[str, str]) -> None:
    assert ask_market(run, path, **query)


def test_payments_can_be_rung_by_hand(run: WholeRun) -> None:
    with run.http() as http:
        assert http.get("/payments/start").status_code == 202
        assert http.post("/payments/start").status_code == 202


def test_documentation_needs_no_other_host(run: WholeRun) -> None:
    with run.http() as http:
        page = http.get("/docs").text

    loaded = re.findall(r"""(?:src|href|url)\s*[=:(]\s*["']?([^"'\s)>]+)""", page)
    assert loaded
    assert [url for url in loaded if "//" in url] == []


def test_front_page_leads_on(run: WholeRun) -> None:
    links = run.get("/")["links"]

    assert links["docs"] == "/docs"
    assert links["flower"] == run.url("flower")


def test_flower_lists_the_workers_to_those_who_may_see(run: WholeRun) -> None:
    with run.http("flower") as http:
        assert http.get("/api/workers").status_code == 401
        listed = eventually(lambda: workers_in(http), PATIENCE_S)

    assert {name.partition("@")[0] for name in listed} == {"worker-payments", "worker-market"}


def workers_in(http: httpx.Client) -> Any:
    known = http.get("/api/workers", auth=FLOWER_LOGIN, params={"refresh": "true"}).json()
    return known if len(known) == 2 else None


def test_product_withdrawn_before_fulfilment_is_refunded(run: WholeRun, database: Database) -> None:
    with run.http() as http:
        new = {"name": "Keyboard", "price": 20.0, "quantity": 100}
        product = http.post("/products/", json=new).json()
        placed = run.order(id=product["id"], quantity=10)
        run.wait_for(placed["id"], "paid")
        assert http.delete(f"/products/{product['id']}").is_success
    let_goods_leave(database)

    shown = run.wait_for(placed["id"], "refunded")
    receipt = run.get(f"/orders/{placed['id']}/timeline")
    assert (shown["total"], shown["refunded"]) == (240.0, 240.0)
    assert [it["status"] for it in receipt["refunds"]] == ["succeeded"]
    assert "order.refunded" in [it["type"] for it in receipt["events"]]
    assert run.ledger().kept(placed["id"]) == 0
    assert len(run.ledger().charges_of(placed["id"])) == 1


def test_charge_whose_answer_was_an_error_is_settled_by_the_gateways_webhook(
    run: WholeRun, database: Database
) -> None:
    placed = run.order(id=18, quantity=1, payment_token="tok_500")

    deliver(run, database, placed["id"])
    sent, *asked = run.get(f"/orders/{placed['id']}/timeline")["gateway_calls"]
    looked_up = datetime.fromisoformat(asked[-1]["started_at"])
    assert (sent["outcome"], asked[-1]["outcome"]) == ("unknown", "succeeded")
    # Without a webhook it would be half a minute.
    assert looked_up - datetime.fromisoformat(sent["started_at"]) < timedelta(seconds=25)


def test_declined_card_ends_the_order_and_gives_the_stock_back(run: WholeRun) -> None:
    before = run.get("/products/19")["quantity"]

    placed = run.order(
        items=[{"product_id": 19, "quantity": 3}], payment_token="tok_insufficient_funds"
    )

    run.wait_for(placed["id"], "payment_failed")
    assert run.get("/products/19")["quantity"] == before
    assert run.ledger().kept(placed["id"]) == 0


def test_everything_that_happened_is_right(run: WholeRun, database: Database) -> None:
    placed = run.order(**OLD_ORDER)

    def is_quiet_in_time() -> bool:
        let_goods_leave(database)
        return invariants.is_quiet(database, [placed["id"]])

    eventually(is_quiet_in_time, PATIENCE_S, interval_s=0.2)
    with run.redis() as client:
        eventually(lambda: invariants.are_level(database, client, SHOP_TOPICS), PATIENCE_S)
        invariants.check_all(
            database, client, run.ledger(), accepted=[placed["id"]], topics=SHOP_TOPICS
        )


def test_second_start_goes_on_with_the_same_data_and_leaves_nothing_when_it_is_killed(
    start_run: StartRun,
) -> None:
    run = start_run(FULFILMENT_DELAY_S="600")
    eventually(lambda: run.get("/products/"), what="the first sync")
    placed = run.order(**OLD_ORDER)
    run.wait_for(placed["id"], "paid")
    occupied = run.footprint()

    took_s = run.stop()

    assert took_s < 60  # ten on a machine that does nothing else
    eventually(lambda: occupied.left() == (set(), set()))
    assert run.services == {}
    run.start()
    assert run.get(f"/orders/{placed['id']}")["total"] == 100
    database = run.database()
    deliver(run, database, placed["id"])
    database.engine.dispose()
    assert len(run.ledger().charges) == 1
    occupied = run.footprint()
    run.child.kill()
    eventually(lambda: occupied.left() == (set(), set()))
