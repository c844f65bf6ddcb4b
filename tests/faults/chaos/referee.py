"""The verdict: waits until all is quiet, then runs every checker and reads the clients' log."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis
import sqlalchemy as sa

from infra.db import Database
from tests.faults.chaos.journal import Journal
from tests.faults.chaos.listeners import Listener
from tests.faults.chaos.plant import Plant
from tests.support import invariants
from tests.support.leases import let_checks_come_due
from tests.support.processes import eventually
from tests.support.sandbox import Ledger
from workers.topics import TOPICS

QUIET_WITHIN_S = 180.0
_LOOK_EVERY_S = 0.5
# Unknown charges are looked at after minutes, then hours: that time is made to pass.
_TIME_PASSES_EVERY_S = 5.0
_LONGEST_TEXT = 3000
_CAUGHT_UP_WITHIN_S = 90.0
# Quotes that were asked for are refreshed for a quarter of an hour: there is no end to wait for.
_SHOP = [topic for topic in TOPICS if not topic.startswith("market.")]


@dataclass(frozen=True)
class Verdict:
    """What is left in the end, and what of it must not be."""

    orders: int
    final: int
    charges: int
    refunds: int
    events: int
    quiet_after_s: float
    violations: list[str]


def judge(plant: Plant, journal: Journal, listeners: Sequence[Listener]) -> Verdict:
    """Wait for rest, for as long as it may take, and check everything."""
    quiet_after_s = _wait_until_quiet(plant, journal)
    late = list(_late(plant, listeners))
    _end_market(plant)
    ledger = plant.sandbox.ledger()
    violations = [*_violations(plant, journal, ledger), *late]
    violations += [told for listener in listeners for told in listener.violations]
    database = plant.database
    return Verdict(
        orders=_count(database, "SELECT COUNT(*) FROM orders"),
        final=_count(
            database,
            "SELECT COUNT(*) FROM orders WHERE status IN"
            " ('completed', 'payment_failed', 'expired', 'cancelled', 'refunded')",
        ),
        charges=len(ledger.charges),
        refunds=len(ledger.refunds),
        events=_count(database, "SELECT COUNT(*) FROM event"),
        quiet_after_s=quiet_after_s,
        violations=violations,
    )


def _wait_until_quiet(plant: Plant, journal: Journal) -> float:
    """Wait in vain for as long as nothing ends; the checkers then say what it was."""
    began = time.monotonic()
    passed = began
    with plant.valkey.client(1) as client:
        while (now := time.monotonic()) - began < QUIET_WITHIN_S:
            plant.tend()
            if _is_quiet(plant, journal, client):
                break
            if now - passed > _TIME_PASSES_EVERY_S:
                let_checks_come_due(plant.database)
                passed = now
            time.sleep(_LOOK_EVERY_S)
    return time.monotonic() - began


def _is_quiet(plant: Plant, journal: Journal, client: "redis.Redis") -> bool:
    database = plant.database
    try:
        invariants.check_nothing_claimed(database)
    except AssertionError:
        return False
    return invariants.is_quiet(database, journal.accepted) and invariants.are_level(
        database, client, _SHOP
    )


def _late(plant: Plant, listeners: Sequence[Listener]) -> Iterator[str]:
    """Tell who has not heard of everything although there has been time enough."""

    def behind() -> list[str]:
        late = [told for listener in listeners for told in listener.behind(plant.database)]
        return [*late, *_receipts_missing(plant)]

    with suppress(AssertionError):
        eventually(lambda: not behind(), _CAUGHT_UP_WITHIN_S, interval_s=0.5)
    yield from behind()


def _receipts_missing(plant: Plant) -> Iterator[str]:
    """Compare the receipts that were printed with the orders that were told of as completed."""
    query = "SELECT subject FROM event WHERE type = 'order.completed'"
    with plant.database.reads() as session:
        completed = Counter(session.scalars(sa.text(query)))
    with plant.receipts.reads() as session:
        printed = Counter(
            f"orders/{number}"
            for number in session.scalars(sa.text("SELECT order_id FROM receipt"))
        )
    if printed != completed:
        yield f"consumers: too few {completed - printed}, too many {printed - completed}"


def _end_market(plant: Plant) -> None:
    """Let the streams of the market come level: nobody refreshes anything any more."""
    plant.rest()
    with plant.valkey.client(1) as client, suppress(AssertionError):
        eventually(
            lambda: (
                invariants.is_quiet(plant.database) and invariants.are_level(plant.database, client)
            ),
            _CAUGHT_UP_WITHIN_S,
            interval_s=0.5,
        )


def _violations(plant: Plant, journal: Journal, ledger: Ledger) -> Iterator[str]:
    database = plant.database
    with plant.valkey.client(1) as client:
        checks: list[Callable[[], Any]] = [
            lambda: invariants.check_orders(database, journal.accepted),
            lambda: invariants.check_money(database, ledger),
            lambda: invariants.check_stock(database),
            lambda: invariants.check_streams(database, client),
            lambda: invariants.check_contract(client, TOPICS),
            lambda: invariants.check_payloads(database),
            lambda: invariants.check_nothing_claimed(database),
        ]
        for check in checks:
            try:
                check()
            except AssertionError as error:
                yield str(error)[:_LONGEST_TEXT]
    yield from journal.check(database)
    if refused := plant.sandbox.refused():
        yield f"I11: {refused} calls were beyond the budget"


def _count(database: Database, query: str) -> int:
    with database.reads() as session:
        return int(session.execute(sa.text(query)).scalar_one())
