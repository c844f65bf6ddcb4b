"""Redis restarted under load, again and again, empty each time: work always goes on."""

import pytest

from tests.faults.conftest import StartPlant
from tests.support.processes import eventually
from tests.support.valkey import Valkey

GOES_ON_WITHIN_S = 60
TIMES = pytest.mark.parametrize(
    "times",
    [
        pytest.param(5, marks=pytest.mark.timeout(400)),
        pytest.param(50, marks=[pytest.mark.proof, pytest.mark.timeout(1500)]),
    ],
)


@TIMES
def test_work_goes_on_after_every_restart_of_the_broker(
    start_plant: StartPlant, valkey: Valkey, times: int
) -> None:
    plant = start_plant()

    for _ in range(times):
        plant.orders(4)
        valkey.kill()
        last = plant.order()
        valkey.restart()
        eventually(
            lambda: plant.shown(last)["status"] == "completed",  # noqa: B023 - asked at once
            GOES_ON_WITHIN_S,
            what=f"order {last} is completed after a restart",
        )

    plant.wait_until_quiet()
    plant.check()
    assert len(plant.accepted) == 5 * times
