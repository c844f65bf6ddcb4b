from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from infra.db import Database
from tests.faults.plant import Plant
from tests.support.fleet import Fleet
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

StartPlant = Callable[..., Plant]


@pytest.fixture
def streams_client(valkey: Valkey) -> Iterator["redis.Redis"]:
    with valkey.client(db=1) as client:
        yield client


@pytest.fixture
def start_plant(
    fleet: Fleet,
    database: Database,
    sandbox: Sandbox,
    streams_client: "redis.Redis",
    tmp_path: Path,
) -> Iterator[StartPlant]:
    """Start worker, beat and API, with crashes armed: `start_plant("payments.claimed=kill")`."""
    plants: list[Plant] = []

    def start(armed: str = "", **env: str) -> Plant:
        made = Plant(
            fleet, database, sandbox, streams_client, armed=armed, folder=tmp_path, env=env
        )
        plants.append(made)
        return made

    yield start
    for plant in plants:
        plant.end()
