"""A process crashes, or stands still past its lease, at each dangerous line; others finish."""

import httpx
import pytest

from shop.gateways.sandbox import SandboxGateway
from tests.faults.conftest import StartPlant
from tests.support.leases import let_goods_leave, let_leases_end

IN_PAYMENTS = ["payments.claimed", "payments.charged", "payments.settled"]
IN_EVENTS = ["events.numbered", "events.published"]


def test_order_committed_and_never_rung_is_completed(start_plant: StartPlant) -> None:
    plant = start_plant("orders.committed=kill")
    with pytest.raises(httpx.TransportError):
        plant.order(key="the-one")
    plant.restart_api()

    again = plant.order(key="the-one")
    plant.wait_until_quiet()

    plant.check()
    assert plant.shown(again)["status"] == "completed"
    assert len(plant.sandbox.ledger().charges) == 1


@pytest.mark.parametrize("place", [*IN_PAYMENTS, *IN_EVENTS])
def test_worker_killed_at_this_line_leaves_everything_right(
    start_plant: StartPlant, place: str
) -> None:
    plant = start_plant(f"{place}=kill")
    plant.orders(8)
    plant.wait_for_crash(place)

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}


@pytest.mark.proof
def test_worker_killed_with_claims_that_wait_in_line_leaves_everything_right(
    start_plant: StartPlant,
) -> None:
    plant = start_plant("payments.claimed_ahead=kill")
    plant.pause("payments")
    # More than its two children call the gateway for at once: some are claimed before their turn.
    plant.orders(2 * SandboxGateway.max_in_flight + 50)
    plant.resume("payments")
    plant.wait_for_crash("payments.claimed_ahead")

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}


@pytest.mark.parametrize("place", ["payments.charged", "events.numbered"])
def test_worker_that_wakes_after_its_lease_changes_nothing(
    start_plant: StartPlant, place: str
) -> None:
    plant = start_plant(f"{place}=stop")
    plant.orders(8)
    plant.wait_for_crash(place)
    plant.recover()

    plant.wake_the_stopped()
    plant.orders(4)
    plant.wait_until_quiet()

    plant.check()
    assert plant.statuses() == {"completed"}


def test_worker_killed_after_the_refund_gives_the_money_back_once(start_plant: StartPlant) -> None:
    plant = start_plant("refunds.sent=kill", FULFILMENT_DELAY_S="600")
    plant.orders(3)
    plant.wait_for({"paid"})
    plant.withdraw()
    let_goods_leave(plant.database)
    plant.wait_for_crash("refunds.sent")

    plant.recover()

    plant.check()
    assert plant.statuses() == {"refunded"}
    assert len(plant.sandbox.ledger().refunds) == 3


def test_crash_of_the_one_who_repairs_is_repaired_too(start_plant: StartPlant) -> None:
    plant = start_plant("payments.claimed=kill,payments.charged=kill,events.numbered=kill")
    plant.orders(20)
    plant.wait_for_crash("payments.claimed")
    let_leases_end(plant.database)
    plant.wait_for_crash("payments.charged")

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}
