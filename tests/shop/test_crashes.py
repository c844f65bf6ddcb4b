"""A process that is killed in the middle of a payment leaves what the next one needs."""

import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from infra.db import Database, transact
from shop import claiming, repayments, sync, takeover
from shop.gateways.sandbox import SandboxGateway
from shop.products import Product
from shop.stock import Stock
from shop.sync import Supplier
from tests.shop.canned import CannedServer
from tests.shop.conftest import PATIENT_S
from tests.shop.stage import Shop
from tests.support.fleet import Fleet
from tests.support.sandbox import Sandbox

Crash = Callable[[str, str], None]
SETTLE = "from workers.payments import settle; settle()"
# With all the time that a loaded machine takes: else it would end before it claims again.
SETTLE_ONE_AT_ONCE = """
from dataclasses import replace
from shop import settlement
from shop.gateways.sandbox import SandboxGateway
from workers import payments

SandboxGateway.max_in_flight = 1
settlement.settle_due(replace(payments._settler(), budget_s=60))
"""
SYNC = "from workers.products import sync_products; sync_products()"
GIVE_BACK = "from workers.refunds import settle; settle()"


@pytest.fixture
def real_shop(database: Database, sandbox: Sandbox) -> Shop:
    """A shop with the sandbox's gateway, whose ledger is the judge."""
    return Shop(database, SandboxGateway(sandbox.gateway_url, timeout_s=PATIENT_S))


@pytest.fixture
def crash(fleet: Fleet, tmp_path: Path) -> Crash:
    """Run a task in a process of its own that is killed at a place."""

    def run(code: str, place: str) -> None:
        armed = {"FAILPOINTS": f"{place}=kill", "FAILPOINTS_DIR": str(tmp_path)}
        child = fleet.run("crashing", ["-c", code], **armed)
        assert child.wait(60) == -signal.SIGKILL, child.log()

    return run


@pytest.mark.parametrize("place", ["payments.claimed", "payments.charged"])
def test_a_payment_whose_worker_was_killed_is_charged_once(
    real_shop: Shop, sandbox: Sandbox, crash: Crash, place: str
) -> None:
    order_id = real_shop.place_one()
    crash(SETTLE, place)
    interrupted = real_shop.attempt(order_id).state

    settled = real_shop.settle(now=_after_lease(real_shop, claiming.LEASE))

    assert (interrupted, settled) == ("sending", 1)
    assert real_shop.status(order_id) == "paid"
    assert [charge.amount for charge in sandbox.ledger().charges_of(order_id)] == [6000]


def test_payments_whose_worker_was_killed_before_their_turn_are_charged_once(
    real_shop: Shop, sandbox: Sandbox, crash: Crash
) -> None:
    orders = [real_shop.place_one() for _ in range(4)]
    crash(SETTLE_ONE_AT_ONCE, "payments.claimed_ahead")
    interrupted = [real_shop.attempt(order).state for order in orders[:3]]

    settled = real_shop.settle(now=_after_lease(real_shop, claiming.LEASE))

    assert (interrupted, settled) == (["succeeded", "sending", "sending"], 3)
    assert {real_shop.status(order) for order in orders} == {"paid"}
    ledger = sandbox.ledger()
    assert [len(ledger.charges_of(order)) for order in orders] == [1, 1, 1, 1]


def test_a_payment_that_was_settled_before_the_kill_is_left_alone(
    real_shop: Shop, sandbox: Sandbox, crash: Crash
) -> None:
    order_id = real_shop.place_one()
    crash(SETTLE, "payments.settled")

    settled = real_shop.settle(now=_after_lease(real_shop, claiming.LEASE))

    assert settled == 0
    assert real_shop.status(order_id) == "paid"
    assert len(sandbox.ledger().charges_of(order_id)) == 1


@pytest.mark.parametrize("place", ["refunds.claimed", "refunds.sent"])
def test_a_refund_whose_worker_was_killed_is_given_once(
    real_shop: Shop, sandbox: Sandbox, crash: Crash, place: str
) -> None:
    product = real_shop.sell()
    order_id = int(real_shop.place({product: 1})["id"])
    real_shop.settle(now=None)
    real_shop.withdraw(product)
    real_shop.fulfil(now=None)
    crash(GIVE_BACK, place)

    done = real_shop.give_back(now=_after_lease(real_shop, repayments.LEASE))

    assert done == 1
    assert real_shop.status(order_id) == "refunded"
    assert sandbox.ledger().kept(order_id) == 0
    assert len(sandbox.ledger().refunds) == 1


def test_a_sync_killed_between_two_chunks_is_finished_by_the_next(
    real_shop: Shop, canned: CannedServer, fleet: Fleet, crash: Crash
) -> None:
    fleet.env["SANDBOX_FEED_URL"] = canned.url
    count = 2 * takeover.CHUNK + 1
    items = [{"id": n, "title": f"Thing {n}", "price": 10.0} for n in range(count)]
    canned.answer(200, orjson.dumps(items))
    run_id = transact(real_shop.database.sessions, sync.request)
    crash(SYNC, "products.chunk_taken")
    interrupted = (len(_products(real_shop)), real_shop.wishes()[run_id])

    done = sync.run_requested(
        real_shop.database.sessions,
        Supplier(canned.url, "USD", 100, is_stand_in=True),
        now=_after_lease(real_shop, sync.LEASE),
    )

    assert interrupted == (takeover.CHUNK, "running")
    assert (done, real_shop.wishes()) == (1, {run_id: "done"})
    assert _products(real_shop) == {(str(n), 1, 100) for n in range(count)}
    assert {event.version for event in real_shop.told()} == {1}


def _products(shop: Shop) -> set[tuple[str, int, int]]:
    query = sa.select(Product.external_id, Product.version, Stock.on_hand)
    with shop.database.reads() as session:
        rows = session.execute(query.join(Stock, Stock.product_id == Product.id))
        return {(row.external_id or "", row.version, row.on_hand) for row in rows}


def _after_lease(shop: Shop, lease: timedelta) -> datetime:
    return shop.now() + lease
