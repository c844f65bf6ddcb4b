"""Servers forget, vanish and lie; what was accepted is done all the same."""

from tests.faults.conftest import StartPlant
from tests.support.leases import let_checks_come_due
from tests.support.mariadb import MariaDB
from tests.support.processes import eventually
from tests.support.valkey import Valkey


def test_flushed_redis_in_the_middle_loses_nothing(start_plant: StartPlant, valkey: Valkey) -> None:
    plant = start_plant()
    plant.orders(8)
    valkey.flush()
    plant.orders(8)
    valkey.flush()

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}


def test_orders_are_accepted_while_redis_is_away(start_plant: StartPlant, valkey: Valkey) -> None:
    plant = start_plant()
    valkey.kill()
    plant.orders(5)
    valkey.restart()

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}


def test_worker_killed_outright_is_replaced_without_loss(start_plant: StartPlant) -> None:
    plant = start_plant("payments.charged=stop")
    plant.orders(8)
    plant.wait_for_crash("payments.charged")
    plant.worker.kill_hard()
    plant.restart_worker()

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}


def test_restarted_database_in_the_middle_loses_nothing(
    start_plant: StartPlant, mariadb: MariaDB
) -> None:
    plant = start_plant("payments.charged=stop")
    plant.orders(8)
    plant.wait_for_crash("payments.charged")
    mariadb.kill()
    plant.wake_the_stopped()
    mariadb.restart()

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}


def test_charge_whose_answer_was_an_error_is_found_and_not_repeated(
    start_plant: StartPlant,
) -> None:
    plant = start_plant()
    plant.sandbox.fault("gateway", "charge_then_500", times=4)
    plant.orders(8)
    # Not all four need be unknown at once: half a minute after a charge its check comes by itself.
    eventually(lambda: "pending" not in plant.statuses(), 60)
    assert plant.sandbox.struck("gateway", "charge_then_500") == 4
    let_checks_come_due(plant.database)

    plant.recover()

    plant.check()
    assert plant.statuses() == {"completed"}


def test_gateway_that_was_down_gets_every_charge_once(start_plant: StartPlant) -> None:
    plant = start_plant()
    plant.sandbox.child.kill_hard()
    plant.orders(5)
    eventually(lambda: "charges_not_sent" in plant.worker.log(), 60)
    plant.sandbox.restart()

    let_checks_come_due(plant.database)
    plant.wait_until_quiet()

    plant.check()
    assert plant.statuses() == {"completed"}
