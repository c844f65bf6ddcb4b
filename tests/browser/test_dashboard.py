"""The dashboard as people use it: what is committed is on the screen without a reload."""

import os
import signal

import pytest
from playwright.sync_api import Page, expect

from infra.db import Database
from tests.browser.conftest import Buy, Windows
from tests.support.http import plain_client
from tests.support.leases import let_goods_leave
from tests.support.processes import ROOT, eventually
from tests.support.run import WholeRun

OVER_BUDGET = {"status": 503, "code": "over_budget", "detail": "Ask again.", "request_id": "1f"}
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
PAGES = [
    "/app/market",
    "/app/market/AAPL",
    "/app/shop",
    "/app/shop/1",
    "/app/cart",
    "/app/orders",
    "/app/events",
    "/app/inventory",
    "/app/operations",
    "/app/users",
    "/app/profile",
    "/app/sign-in",
]


def test_order_turns_from_paid_to_completed_in_two_windows(
    windows: Windows, buy: Buy, database: Database
) -> None:
    buyer, onlooker = windows.open("/app/shop"), windows.open("/app/orders")
    expect(onlooker.get_by_text("Live", exact=True)).to_be_visible()
    eventually(lambda: buyer.locator("img.picture").first.evaluate("each => each.naturalWidth"))

    order = buy(buyer, "Oak Desk Lamp")

    row = onlooker.get_by_role("row").filter(has=onlooker.get_by_role("link", name=f"#{order}"))
    expect(row).to_contain_text("Paid")
    expect(row).to_contain_text("$89.40")
    let_goods_leave(database)
    expect(row).to_contain_text("Completed")
    expect(buyer.get_by_role("region", name="State")).to_contain_text("Completed")
    expect(buyer.get_by_text("The card was charged")).to_be_visible()
    assert windows.complaints == []


def test_declined_card_says_so_and_why(windows: Windows, buy: Buy) -> None:
    page = windows.open("/app/shop")

    buy(page, "Linen Shirt", card="Insufficient funds")

    shown = page.get_by_role("region", name="State")
    expect(shown).to_contain_text("Payment failed")
    expect(shown).to_contain_text("There is not enough money on the card.")


@pytest.mark.proof
def test_product_deleted_before_it_left_is_refunded(
    windows: Windows, buy: Buy, database: Database
) -> None:
    buyer, operator = windows.open("/app/shop"), windows.open("/app/inventory")
    expect(operator.get_by_role("button", name="Withdraw Rain Jacket, Packable")).to_be_visible()

    buy(buyer, "Rain Jacket, Packable")
    operator.get_by_role("button", name="Withdraw Rain Jacket, Packable").click()
    operator.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    expect(operator.get_by_role("dialog")).to_have_count(0)
    expect(buyer.get_by_role("region", name="State")).to_contain_text("Paid")
    let_goods_leave(database)

    expect(buyer.get_by_role("region", name="State")).to_contain_text("Refunded")
    expect(buyer.get_by_text("Given back", exact=True)).to_be_visible()


@pytest.mark.proof
def test_picture_that_cannot_be_had_is_a_tile(run: WholeRun, windows: Windows) -> None:
    thing = {"name": "Blue Thing", "price": 1, "image": "https://127.0.0.1:1/blue.png"}
    with run.http("api") as api:
        made = api.post("/products/", json=thing).raise_for_status().json()

        page = windows.open("/app/shop?q=Blue+Thing")

        tile = page.locator("div.picture")
        expect(tile).to_have_text("BT")
        assert round(tile.evaluate("it => it.clientWidth / it.clientHeight"), 1) == 1.3
        # The browser complains of such a picture on every page of the shop.
        api.delete(f"/products/{made['id']}").raise_for_status()


@pytest.mark.proof
def test_sync_shows_its_report(windows: Windows) -> None:
    page = windows.open("/app/inventory")
    page.get_by_role("button", name="Sync", exact=True).click()

    page.get_by_role("button", name="Look what would change").click()

    expect(page.get_by_text("Would be:")).to_be_visible()


@pytest.mark.proof
def test_failed_task_is_tried_again(run: WholeRun, windows: Windows) -> None:
    with run.http("feed") as feed:
        origin = f"{feed.base_url.scheme}://{feed.base_url.netloc.decode()}"
        feed.post(f"{origin}/admin/faults", json={"fault": "http_500", "times": 100})
        page = windows.open("/app/inventory")
        page.get_by_role("button", name="Sync", exact=True).click()
        page.get_by_role("button", name="Sync now").click()
        page.get_by_role("link", name="Operations").click()
        again = page.get_by_role("button", name="Try again: products.sync")
        expect(again).to_be_visible()
        feed.delete(f"{origin}/admin/faults")

    again.click()

    page.get_by_label("State of the tasks").select_option("done")
    done = page.get_by_role("row").filter(has_text="products.sync").filter(has_text="Done")
    expect(done.first).to_be_visible()
    expect(again).to_have_count(0)


@pytest.mark.proof
def test_tile_ticks(windows: Windows) -> None:
    page = windows.open("/app/market")
    price = page.get_by_role("link").filter(has_text="BTC/USDT").locator(".tile-price")
    expect(price).to_be_visible()
    before = price.inner_text()

    eventually(lambda: price.inner_text() != before, timeout_s=60, interval_s=0.5)


@pytest.mark.proof
def test_restarted_api_loses_no_event(
    run: WholeRun, windows: Windows, buy: Buy, database: Database
) -> None:
    page = windows.open("/app/events")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    buy(windows.open("/app/shop"), "Linen Shirt")
    expect(page.get_by_role("button").filter(has_text="order.placed").first).to_be_visible()

    os.kill(run.pid("api"), signal.SIGKILL)
    expect(page.get_by_text("The connection is lost.")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    order = buy(windows.open("/app/shop"), "Linen Shirt")

    for kind in ("placed", "paid", "completed"):
        let_goods_leave(database)  # the last one comes of it
        rows = page.get_by_role("button").filter(has_text=f"order.{kind}")
        expect(rows.filter(has_text=f"orders/{order}")).to_have_count(1)
    expect(page.get_by_text("entries may be missing")).to_have_count(0)


@pytest.mark.proof
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_page_can_be_used_by_everybody(
    run: WholeRun, windows: Windows, path: str, theme: str
) -> None:
    _wait_for_market(run)
    page = windows.open(path, dark=theme == "dark")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_label("Loading")).to_have_count(0)

    assert _hindrances(page) == []
    assert windows.complaints == []


@pytest.mark.proof
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_failure_can_be_read_by_everybody(windows: Windows, theme: str) -> None:
    page = windows.open("/app/shop", dark=theme == "dark")
    page.route("**/market/quote?*", lambda route: route.fulfill(status=503, json=OVER_BUDGET))

    page.goto("/app/market/AAPL")
    expect(page.get_by_text("Ask again.")).to_be_visible()

    assert _hindrances(page) == []


@pytest.mark.proof
def test_menu_of_a_phone_closes_over_the_page_that_was_chosen(windows: Windows) -> None:
    page = windows.open("/app/market", width=375)
    page.get_by_role("button", name="Menu").click()
    menu = page.get_by_role("dialog", name="Menu")

    menu.get_by_role("link", name="Shop").click()

    expect(menu).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Shop")
    expect(page).to_have_title("Shop · Tradepost")


@pytest.mark.proof
def test_page_that_cannot_be_loaded_leaves_the_menu(windows: Windows) -> None:
    page = windows.open("/app/market")
    page.route("**/assets/ShopPage-*", lambda asked: asked.abort())

    page.get_by_role("link", name="Shop").click()

    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    page.get_by_role("link", name="Events").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Events")


@pytest.mark.proof
@pytest.mark.parametrize("path", PAGES)
def test_page_fits_a_phone(windows: Windows, path: str) -> None:
    page = windows.open(path, width=375)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_label("Loading")).to_have_count(0)

    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def _wait_for_market(run: WholeRun) -> None:
    """Wait until a run that has just begun has asked for what its pages show.

    Before that some of it is refused for a moment, and a browser complains of every refusal.
    """
    with plain_client(run.url("api")) as http:
        symbols = [each["symbol"] for each in http.get("/market/watchlist").json()]
        asked = ["company?symbol=AAPL", "news?symbol=AAPL", "news", "forex?base=USD"]
        for symbol in symbols:
            asked += [f"quote?symbol={symbol}", f"candles?symbol={symbol}&resolution=1"]
        for one in asked:
            eventually(lambda one=one: http.get(f"/market/{one}").is_success)  # type: ignore[misc]


def _hindrances(page: Page) -> list[tuple[str, list[object]]]:
    """List what keeps people from using a page, and where."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        (each["id"], [node["target"] for node in each["nodes"]][:3])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
