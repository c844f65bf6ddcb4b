"""What a sync takes over, what it leaves alone, and what it says of it."""

import resource
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from infra.db import Database, transact
from shop import feed_state, products, sync, takeover
from shop.feed import FeedUnusable
from shop.feed_items import Offer
from shop.feed_state import FeedState
from shop.products import Draft, Product
from shop.sync import Claim, Superseded, Supplier
from shop.sync_report import MOST_LISTED, Report
from tests.shop.canned import CannedServer
from tests.shop.stage import NOON, Interruption, Shop, Statements
from tests.support.sandbox import Sandbox

STOCK = 100
HOUR = timedelta(hours=1)


@pytest.fixture
def supplier(canned: CannedServer) -> Supplier:
    """A supplier of whatever the test says."""
    return Supplier(canned.url, "USD", STOCK, is_stand_in=True)


@pytest.fixture
def stand_in(world: Sandbox) -> Supplier:
    """The stand-in, which knows what it has sent before."""
    return Supplier(world.feed_url, "USD", STOCK, is_stand_in=True)


def test_an_unchanged_feed_is_not_read_again(shop: Shop, stand_in: Supplier) -> None:
    first = _sync(shop, stand_in)

    again = _sync(shop, stand_in)

    assert (first.created, first.not_modified) == (20, False)
    assert again == Report(unchanged=20)
    assert again.not_modified


@pytest.mark.parametrize("change", [{"name": "Ours"}, {"description": "Ours"}])
def test_what_is_the_suppliers_is_put_back(
    shop: Shop, stand_in: Supplier, change: dict[str, Any]
) -> None:
    _sync(shop, stand_in)
    _edit(shop, "1", change)

    report = _sync(shop, stand_in)

    assert (report.changed, report.not_modified) == (1, False)
    assert _product(shop, "1").name == "Canvas Weekender Bag"


def test_an_edited_price_is_pinned_until_it_is_let_go(shop: Shop, stand_in: Supplier) -> None:
    _sync(shop, stand_in)
    _edit(shop, "1", {"price_minor": 4200})
    kept = _sync(shop, stand_in)
    pinned = _product(shop, "1")

    _edit(shop, "1", {"price_pinned": False})
    put_back = _sync(shop, stand_in)

    assert (kept.changed, pinned.price_pinned, pinned.price_minor) == (0, True, 4200)
    assert (put_back.changed, _product(shop, "1").price_minor) == (1, 5000)


def test_an_edit_during_a_sync_makes_the_next_one_read_again(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _feed(1), headers={"ETag": '"a"'})
    _sync(shop, supplier)
    with shop.database.sessions.begin() as session:
        known = feed_state.recall(session, url=canned.url, currency="USD")
    _edit(shop, "1", {"name": "Ours"})

    with shop.database.sessions.begin() as session:
        feed_state.remember(session, known, known.validators)

    assert _known_tag(shop) is None


def test_a_sync_that_dies_makes_the_next_one_read_again(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    def die() -> None:
        raise RuntimeError("killed")

    canned.answer(200, _feed(1), headers={"ETag": '"a"'})
    _sync(shop, supplier)
    before = _known_tag(shop)
    canned.answer(200, _feed(1, 2), headers={"ETag": '"b"'})
    Interruption(shop.database, "INSERT INTO product", die)

    with pytest.raises(RuntimeError):
        _sync(shop, supplier)

    assert (before, _known_tag(shop)) == ('"a"', None)


def test_only_an_explicit_word_withdraws(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _feed(1, 2, 3))
    _sync(shop, supplier)
    canned.answer(
        200, orjson.dumps([{"id": 1, "deleted": True}, {"id": 9, "deleted": True}, _item(2)])
    )

    report = _sync(shop, supplier)

    gone = _product(shop, "1")
    assert report == Report(withdrawn=1, unchanged=2)
    assert (gone.withdrawn_at is None, _product(shop, "3").withdrawn_at) == (False, None)
    assert shop.told_types(f"products/{gone.id}") == ["product.created", "product.withdrawn"]


def test_a_bad_item_among_many_is_refused_with_its_reason(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _feed(*range(1, 20), bad={"id": 20, "title": "x", "price": -1}))

    report = _sync(shop, supplier)

    (refusal,) = report.refusals
    assert (report.created, report.refused) == (19, 1)
    assert (refusal.position, refusal.external_id) == (19, "20")
    assert refusal.reason == "price: below 0 or beyond all measure"


def test_a_feed_with_refusals_is_read_again(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _feed(*range(1, 20), bad={"id": 20}), headers={"ETag": '"a"'})
    _sync(shop, supplier)

    again = _sync(shop, supplier)

    assert again == Report(unchanged=19, refused=1)
    assert _known_tag(shop) is None


def test_a_dry_run_writes_nothing_but_its_report(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _feed(1, 2))
    _sync(shop, supplier)
    catalogue = [shop.snapshot()[table] for table in ("product", "stock", "event", "feed_state")]
    canned.answer(200, orjson.dumps([_item(1, price=12.5), {"id": 2, "deleted": True}, _item(3)]))
    run_id = transact(shop.database.sessions, lambda session: sync.request(session, dry_run=True))

    sync.run_requested(shop.database.sessions, supplier)

    shown = _run(shop, run_id)
    changes = {change["external_id"]: change for change in shown["report"]["changes"]}
    assert (shown["status"], shown["dry_run"]) == ("done", True)
    assert [shown["report"][name] for name in ("created", "changed", "withdrawn")] == [1, 1, 1]
    assert changes["1"]["fields"] == [{"field": "price", "from": 10.0, "to": 12.5}]
    assert (changes["2"]["action"], changes["3"]["product_id"]) == ("withdrawn", None)
    assert catalogue == [
        shop.snapshot()[table] for table in ("product", "stock", "event", "feed_state")
    ]


def test_a_wish_for_a_dry_run_is_not_served_by_a_real_one(shop: Shop) -> None:
    real = transact(shop.database.sessions, sync.request)

    dry = transact(shop.database.sessions, lambda session: sync.request(session, dry_run=True))

    assert dry != real


def test_a_long_report_is_cut(shop: Shop, canned: CannedServer, supplier: Supplier) -> None:
    canned.answer(200, orjson.dumps([_item(n, description="x" * 5000) for n in range(250)]))
    run_id = transact(shop.database.sessions, sync.request)

    sync.run_requested(shop.database.sessions, supplier)

    report = _run(shop, run_id)["report"]
    assert (len(report["changes"]), report["changes_left_out"]) == (MOST_LISTED, 50)
    assert len(orjson.dumps(report)) < 200_000


def test_syncs_are_listed_newest_first_without_their_details(
    shop: Shop, stand_in: Supplier
) -> None:
    for _ in range(3):
        transact(shop.database.sessions, sync.request)
        sync.run_requested(shop.database.sessions, stand_in)

    with shop.database.reads() as session:
        first = sync.list_page(session, limit=2)
        rest = sync.list_page(session, limit=2, below_id=first[-1]["id"])

    assert [run["report"]["created"] for run in [*first, *rest]] == [0, 0, 20]
    assert "changes" not in first[0]["report"]


def test_a_sync_is_run_every_so_often(shop: Shop, world: Sandbox) -> None:
    hourly = Supplier(world.feed_url, "USD", STOCK, is_stand_in=True, every=HOUR)
    shop.sell()
    start = shop.now()

    runs = [
        sync.run_requested(shop.database.sessions, hourly, now=start + after)
        for after in (HOUR * 0, HOUR / 2, HOUR, HOUR * 1.5)
    ]

    assert runs == [1, 0, 1, 0]


def test_a_feed_that_has_moved_is_read_at_once(
    shop: Shop, world: Sandbox, canned: CannedServer
) -> None:
    moved = Supplier(f"{canned.url}/moved", "USD", STOCK, is_stand_in=True, every=HOUR)
    canned.answer(200, _feed(*range(1, 21)))
    hourly = replace(moved, url=world.feed_url)

    runs = [
        sync.run_requested(shop.database.sessions, supplier)
        for supplier in (hourly, hourly, moved, moved)
    ]

    assert runs == [1, 0, 1, 0]


def test_a_feed_that_is_down_is_not_asked_at_every_look(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(500, b"")
    first = transact(shop.database.sessions, sync.request_first)
    waiting = transact(shop.database.sessions, sync.request_first)

    sync.run_requested(shop.database.sessions, supplier)

    assert first == waiting
    assert transact(shop.database.sessions, sync.request_first) is None


def test_a_sync_waits_for_the_one_that_runs(shop: Shop, stand_in: Supplier) -> None:
    transact(shop.database.sessions, sync.request)
    transact(shop.database.sessions, lambda session: sync._claim(session, stand_in, NOON))  # noqa: SLF001 - a worker in the middle of its work
    transact(shop.database.sessions, sync.request)

    assert sync.run_requested(shop.database.sessions, stand_in, now=NOON) == 0


def test_a_worker_that_was_overtaken_writes_nothing_more(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _feed(1))
    run_id = transact(shop.database.sessions, sync.request)
    before = shop.snapshot()["product"]

    with pytest.raises(Superseded):
        sync.run_once(shop.database.sessions, supplier, Claim(run_id, "another's"))

    assert shop.snapshot()["product"] == before


def test_a_sync_that_died_between_chunks_is_finished_by_the_next(
    shop: Shop, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _feed(*range(1, 11)))
    half = [Offer(str(n), Draft(f"Thing {n}", 1000, "USD")) for n in range(1, 6)]
    transact(
        shop.database.sessions, lambda session: takeover.apply(session, half, default_stock=STOCK)
    )

    report = _sync(shop, supplier)

    assert report == Report(created=5, unchanged=5)
    assert {event.version for event in shop.told()} == {1}


@pytest.mark.parametrize("fault", ["empty", "shrunken", "garbage", "html", "http_500"])
def test_a_bad_feed_is_no_better_in_a_dry_run(
    shop: Shop, world: Sandbox, stand_in: Supplier, fault: str
) -> None:
    _sync(shop, stand_in)
    before = shop.snapshot()
    world.fault("feed", fault, times=1)

    with pytest.raises(FeedUnusable):
        sync.run_once(shop.database.sessions, stand_in, Claim(dry_run=True))

    assert shop.snapshot() == before


def test_a_feed_on_our_network_is_not_read(shop: Shop, canned: CannedServer) -> None:
    canned.answer(200, _feed(1))

    with pytest.raises(FeedUnusable, match="not one of the public internet"):
        sync.run_once(shop.database.sessions, Supplier(canned.url, "USD", STOCK))


def test_a_large_feed_costs_as_many_statements_a_chunk_as_a_small_one(
    database: Database, canned: CannedServer, supplier: Supplier
) -> None:
    canned.answer(200, _long_feed(takeover.CHUNK))
    sent = Statements(database)
    sync.run_once(database.sessions, supplier)
    of_one_chunk = sent.count
    canned.answer(200, _long_feed(2 * takeover.CHUNK))

    report = sync.run_once(database.sessions, supplier)

    assert report == Report(created=takeover.CHUNK, unchanged=takeover.CHUNK)
    assert of_one_chunk < takeover.CHUNK / 10
    assert sent.count <= 3 * of_one_chunk


@pytest.mark.proof
def test_a_large_feed_is_taken_over_in_time_and_memory(
    database: Database, canned: CannedServer, supplier: Supplier
) -> None:
    count = 10_000
    canned.answer(200, _long_feed(count))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()

    report = sync.run_once(database.sessions, supplier)

    took_s = time.monotonic() - started
    grew_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert report == Report(created=count)
    assert took_s < 15
    # The feed itself is 6 MB, and is held once as text and once taken apart.
    assert grew_kib < 60 * 1024
    assert sync.run_once(database.sessions, supplier) == Report(unchanged=count)


def _sync(shop: Shop, supplier: Supplier) -> Report:
    return sync.run_once(shop.database.sessions, supplier)


def _item(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "title": f"Thing {number}", "price": 10.0, **fields}


def _feed(*numbers: int, bad: dict[str, Any] | None = None) -> bytes:
    return orjson.dumps([*(_item(number) for number in numbers), *([bad] if bad else [])])


def _known_tag(shop: Shop) -> str | None:
    with shop.database.reads() as session:
        return session.scalars(sa.select(FeedState.etag)).one()


def _long_feed(count: int) -> bytes:
    filler = "A sentence about it, as suppliers write them. " * 10
    return orjson.dumps([_item(n, description=filler) for n in range(count)])


def _product(shop: Shop, external_id: str) -> Product:
    with shop.database.reads() as session:
        return session.scalars(sa.select(Product).where(Product.external_id == external_id)).one()


def _edit(shop: Shop, external_id: str, changes: dict[str, Any]) -> None:
    product_id = _product(shop, external_id).id
    transact(shop.database.sessions, lambda session: products.edit(session, product_id, changes))


def _run(shop: Shop, run_id: int) -> dict[str, Any]:
    with shop.database.reads() as session:
        return sync.get(session, run_id)
