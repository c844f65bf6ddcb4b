"""The catalogue follows the supplier's feed; stock, and what we withdrew, stay ours."""

from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from infra.db import Database, transact
from shop import products, sync
from shop.feed import FeedUnusable
from shop.products import Product
from shop.sync import Supplier, SyncNotFound, SyncRun
from shop.sync_report import Report
from tests.shop.canned import CannedServer
from tests.shop.stage import NOON, Interruption, Level, Shop, at_once
from tests.support.sandbox import Sandbox

STOCK = 100


@pytest.fixture
def supplier(world: Sandbox) -> Supplier:
    """The stand-in, with its twenty products."""
    return Supplier(world.feed_url, "USD", STOCK, is_stand_in=True)


@pytest.fixture
def own_supplier(canned: CannedServer) -> Supplier:
    """A supplier of whatever the test says."""
    return Supplier(canned.url, "USD", STOCK, is_stand_in=True)


def test_every_product_of_the_feed_is_created(shop: Shop, supplier: Supplier) -> None:
    report = sync.run_once(shop.database.sessions, supplier)

    assert report == Report(created=20)
    assert len(_catalogue(shop)) == 20


def test_the_first_two_products_cost_what_the_old_example_says(
    sqlite_database: Database, supplier: Supplier
) -> None:
    sync.run_once(sqlite_database.sessions, supplier)

    with sqlite_database.reads() as session:
        prices = [products.get(session, number).public()["price"] for number in (1, 2)]
    assert prices == [50.00, 33.33]


def test_a_new_product_starts_with_the_default_stock(shop: Shop, supplier: Supplier) -> None:
    sync.run_once(shop.database.sessions, supplier)

    levels = {shop.level(product.id) for product in _catalogue(shop).values()}
    assert levels == {Level(on_hand=STOCK, reserved=0)}


def test_a_new_product_is_told_with_its_stock(
    shop: Shop, canned: CannedServer, own_supplier: Supplier
) -> None:
    canned.answer(200, _feed({"id": 1}))

    sync.run_once(shop.database.sessions, own_supplier)

    assert sorted(event.type for event in shop.told()) == ["product.created", "stock.changed"]


def test_the_same_feed_again_changes_nothing(shop: Shop, supplier: Supplier) -> None:
    sync.run_once(shop.database.sessions, supplier)
    before = shop.snapshot()

    report = sync.run_once(shop.database.sessions, supplier)

    assert report == Report(unchanged=20)
    assert shop.snapshot() == before


def test_stock_is_not_overwritten(shop: Shop, supplier: Supplier) -> None:
    sync.run_once(shop.database.sessions, supplier)
    product = _catalogue(shop)["1"].id
    shop.paid({product: 30})
    shop.fulfil()

    sync.run_once(shop.database.sessions, supplier)

    assert shop.level(product) == Level(on_hand=70, reserved=0)


def test_a_changed_price_is_taken_over_and_told(
    shop: Shop, canned: CannedServer, own_supplier: Supplier
) -> None:
    canned.answer(200, _feed({"id": 1, "price": 10.0}, {"id": 2, "price": 10.0}))
    sync.run_once(shop.database.sessions, own_supplier)
    canned.answer(200, _feed({"id": 1, "price": 12.5}, {"id": 2, "price": 10.0}))

    report = sync.run_once(shop.database.sessions, own_supplier)

    changed = _catalogue(shop)["1"]
    told = shop.told(f"products/{changed.id}")[-1]
    assert report == Report(changed=1, unchanged=1)
    assert (changed.price_minor, changed.version) == (1250, 2)
    assert (told.type, told.version, told.data["price"]) == ("product.updated", 2, 12.5)


def test_an_order_keeps_the_price_it_was_placed_at(
    shop: Shop, canned: CannedServer, own_supplier: Supplier
) -> None:
    canned.answer(200, _feed({"id": 1, "price": 10.0}))
    sync.run_once(shop.database.sessions, own_supplier)
    order_id = int(shop.place({_catalogue(shop)["1"].id: 1})["id"])
    canned.answer(200, _feed({"id": 1, "price": 99.0}))

    sync.run_once(shop.database.sessions, own_supplier)

    assert shop.order(order_id)["total"] == 12.00


def test_a_withdrawn_product_stays_withdrawn(shop: Shop, supplier: Supplier) -> None:
    sync.run_once(shop.database.sessions, supplier)
    shop.withdraw(_catalogue(shop)["1"].id)

    report = sync.run_once(shop.database.sessions, supplier)

    assert report == Report(unchanged=20)
    assert _catalogue(shop)["1"].withdrawn_at is not None


def test_a_product_that_the_feed_no_longer_has_stays_on_sale(
    shop: Shop, canned: CannedServer, own_supplier: Supplier
) -> None:
    canned.answer(200, _feed({"id": 1}, {"id": 2}, {"id": 3}))
    sync.run_once(shop.database.sessions, own_supplier)
    canned.answer(200, _feed({"id": 1}, {"id": 2}))

    sync.run_once(shop.database.sessions, own_supplier)

    assert _catalogue(shop)["3"].withdrawn_at is None


def test_products_of_our_own_are_left_alone(shop: Shop, supplier: Supplier) -> None:
    own = shop.sell(1234)

    sync.run_once(shop.database.sessions, supplier)

    with shop.database.reads() as session:
        assert products.get(session, own).product.price_minor == 1234


def test_a_feed_of_less_than_half_of_the_catalogue_is_not_believed(
    shop: Shop, world: Sandbox, supplier: Supplier
) -> None:
    sync.run_once(shop.database.sessions, supplier)
    before = shop.snapshot()
    world.fault("feed", "shrunken", times=1)

    with pytest.raises(FeedUnusable, match="lacks 15 of our 20 products"):
        sync.run_once(shop.database.sessions, supplier)

    assert shop.snapshot() == before


@pytest.mark.parametrize("fault", ["empty", "shrunken", "garbage", "html", "http_500", "http_429"])
def test_a_bad_feed_changes_nothing_and_is_reported(
    shop: Shop, world: Sandbox, supplier: Supplier, fault: str
) -> None:
    sync.run_once(shop.database.sessions, supplier)
    catalogue, told = _rows(shop), shop.told()
    run_id = transact(shop.database.sessions, sync.request)
    world.fault("feed", fault, times=1)

    sync.run_requested(shop.database.sessions, supplier)

    ended = _ended(shop, run_id)
    assert (ended["status"], ended["report"]["created"]) == ("failed", 0)
    assert "The product feed cannot be used" in ended["report"]["reason"]
    assert (_rows(shop), shop.told()) == (catalogue, told)


def test_a_slow_feed_is_waited_for(shop: Shop, world: Sandbox, supplier: Supplier) -> None:
    world.fault("feed", "slow", times=1, delay_s=0.3)

    assert sync.run_once(shop.database.sessions, supplier).created == 20


def test_a_requested_sync_is_run_and_reported(shop: Shop, supplier: Supplier) -> None:
    run_id = transact(shop.database.sessions, sync.request)

    done = sync.run_requested(shop.database.sessions, supplier)

    ended = _ended(shop, run_id)
    assert done == 1
    assert (ended["status"], ended["report"]["created"]) == ("done", 20)


def test_a_waiting_sync_serves_every_wish(shop: Shop) -> None:
    first = transact(shop.database.sessions, sync.request)

    assert transact(shop.database.sessions, sync.request) == first


def test_a_wish_during_a_sync_is_a_sync_of_its_own(shop: Shop, supplier: Supplier) -> None:
    first = transact(shop.database.sessions, sync.request)
    sync.run_requested(shop.database.sessions, supplier)

    assert transact(shop.database.sessions, sync.request) != first


def test_a_sync_that_has_not_ended_has_no_report(shop: Shop) -> None:
    run_id = transact(shop.database.sessions, sync.request)

    shown = _run(shop, run_id)
    assert (shown["status"], shown["ended_at"], shown["report"]) == ("requested", None, None)


def test_a_sync_that_nobody_asked_for_is_not_found(shop: Shop) -> None:
    with pytest.raises(SyncNotFound):
        _run(shop, 2**40)


def test_an_empty_catalogue_is_filled_by_itself(shop: Shop, supplier: Supplier) -> None:
    done = sync.run_requested(shop.database.sessions, supplier)

    assert done == 1
    assert len(_catalogue(shop)) == 20


def test_a_catalogue_that_could_not_be_filled_waits_for_a_wish(
    shop: Shop, world: Sandbox, supplier: Supplier
) -> None:
    world.fault("feed", "http_500", times=1)
    sync.run_requested(shop.database.sessions, supplier)

    done = sync.run_requested(shop.database.sessions, supplier)

    assert done == 0


def test_a_filled_catalogue_is_not_synced_unasked(shop: Shop, supplier: Supplier) -> None:
    shop.sell()

    assert sync.run_requested(shop.database.sessions, supplier) == 0


def test_a_sync_without_a_feed_says_so(shop: Shop) -> None:
    run_id = transact(shop.database.sessions, sync.request)

    sync.run_requested(shop.database.sessions, Supplier(None, "USD", STOCK))

    assert "PUBLIC_PRODUCT_API" in _ended(shop, run_id)["report"]["reason"]


def test_nothing_is_synced_unasked_without_a_feed(shop: Shop) -> None:
    assert sync.run_requested(shop.database.sessions, Supplier(None, "USD", STOCK)) == 0


@pytest.mark.parametrize(("after", "runs"), [(timedelta(seconds=-1), 0), (timedelta(0), 1)])
def test_a_sync_of_a_dead_worker_is_run_again_after_its_lease(
    shop: Shop, supplier: Supplier, after: timedelta, runs: int
) -> None:
    shop.sell()
    _leave_running(shop)

    done = sync.run_requested(shop.database.sessions, supplier, now=NOON + sync.LEASE + after)

    assert done == runs


def test_two_syncs_at_once_create_every_product_once(busy_shop: Shop, supplier: Supplier) -> None:
    sessions = busy_shop.database.sessions

    reports = at_once([partial(sync.run_once, sessions, supplier)] * 4)

    assert sum(report.created for report in reports if isinstance(report, Report)) == 20
    assert [report for report in reports if not isinstance(report, Report)] == []
    assert len(_catalogue(busy_shop)) == 20


def test_a_sync_that_is_overtaken_by_another_creates_nothing_twice(
    busy_shop: Shop, database: Database, supplier: Supplier
) -> None:
    Interruption(
        busy_shop.database,
        "INSERT INTO product",
        partial(sync.run_once, database.sessions, supplier),
    )

    report = sync.run_once(busy_shop.database.sessions, supplier)

    assert report == Report(unchanged=20)
    assert len(_catalogue(busy_shop)) == 20


def test_two_workers_that_find_an_empty_catalogue_fill_it_once(
    busy_shop: Shop, supplier: Supplier
) -> None:
    sessions = busy_shop.database.sessions

    at_once([partial(sync.run_requested, sessions, supplier)] * 2)

    with busy_shop.database.reads() as session:
        assert {run.state for run in session.scalars(sa.select(SyncRun))} == {"done"}
    assert len(_catalogue(busy_shop)) == 20


def _feed(*items: dict[str, Any]) -> bytes:
    return orjson.dumps([{"title": f"Thing {item['id']}", "price": 10.0, **item} for item in items])


def _catalogue(shop: Shop) -> dict[str, Product]:
    with shop.database.reads() as session:
        rows = session.scalars(sa.select(Product).where(Product.external_id.is_not(None)))
        return {row.external_id or "": row for row in rows}


def _rows(shop: Shop) -> list[tuple[Any, ...]]:
    snapshot = shop.snapshot()
    return [*snapshot["product"], *snapshot["stock"]]


def _run(shop: Shop, run_id: int) -> dict[str, Any]:
    with shop.database.reads() as session:
        return sync.get(session, run_id)


def _ended(shop: Shop, run_id: int) -> dict[str, Any]:
    ended = _run(shop, run_id)
    assert ended["ended_at"] is not None
    return ended


def _leave_running(shop: Shop) -> None:
    with shop.database.sessions.begin() as session:
        run = SyncRun(
            state=sync.SyncState.RUNNING, requested_at=NOON, lease_until=NOON + sync.LEASE
        )
        session.add(run)
