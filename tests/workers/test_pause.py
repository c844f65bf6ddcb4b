"""A paused queue does nothing but canaries, over every restart; then everything is caught up."""

from infra.db import Database, transact
from infra.jobs import queues
from infra.redis import RedisDown, connect
from infra.sharing.signs import CANARIES, Signs
from tests.support.fleet import Fleet
from tests.support.processes import eventually
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey
from tests.workers.conftest import PlaceOrder
from tests.workers.test_worker import message

SETTLE = message("payments.settle", b"[[], {}, {}]")
CANARY = message("canary.payments", b"[[], {}, {}]")


def test_pause_survives_kills_and_flushes_lets_one_run_through_and_loses_nothing(
    fleet: Fleet,
    database: Database,
    sandbox: Sandbox,
    valkey: Valkey,
    place_order: PlaceOrder,
) -> None:
    transact(
        database.sessions,
        lambda session: queues.pause(session, "payments", reason="to see", by=1),
    )
    first = place_order()
    worker = fleet.worker(("payments",), concurrency=1)

    def ring_until_it_is_done() -> None:
        """Ring, and wait until what was rung has ended: the canary comes after it."""
        with valkey.client(db=2) as cache:
            cache.delete(CANARIES)
        signs = Signs(connect(valkey.url(2)), CANARIES)
        with valkey.client() as broker:
            broker.lpush("payments", SETTLE)

            def is_heard() -> bool:
                broker.lpush("payments", CANARY)  # to say so it has no more than 0.3 s
                return "payments" in signs.read()

            eventually(is_heard, tolerate=(RedisDown,), interval_s=0.3)
            eventually(lambda: not broker.exists("payments", "unacked"))  # no other canary either

    ring_until_it_is_done()
    assert sandbox.ledger().charges == []
    worker.kill_hard()
    valkey.kill()
    valkey.restart()
    fleet.worker(("payments",), concurrency=1)
    ring_until_it_is_done()
    assert sandbox.ledger().charges == []

    transact(database.sessions, lambda session: queues.let_one_through(session, "payments"))
    with valkey.client() as broker:
        eventually(lambda: broker.lpush("payments", SETTLE) and sandbox.ledger().charges)
    ring_until_it_is_done()  # the one let through may look for more until it ends
    second = place_order()
    ring_until_it_is_done()
    assert charges_of(sandbox, first, second) == (1, 0)

    transact(database.sessions, lambda session: queues.resume(session, "payments"))
    with valkey.client() as broker:
        eventually(
            lambda: broker.lpush("payments", SETTLE) and sandbox.ledger().charges_of(second),
            interval_s=0.3,
        )
    assert charges_of(sandbox, first, second) == (1, 1)


def charges_of(sandbox: Sandbox, *order_ids: int) -> tuple[int, ...]:
    ledger = sandbox.ledger()
    return tuple(len(ledger.charges_of(order_id)) for order_id in order_ids)
