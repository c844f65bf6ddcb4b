"""An API that streams events, for the modules that name this one as a plugin."""

from collections.abc import Iterator

import pytest

from accounts.tables import Role
from tests.api.conftest import Starter, register
from tests.api.event_stage import OWN_DB, SHARED_DB, People, Stage
from tests.support.valkey import Valkey


@pytest.fixture(scope="session")
def _running_stage(api_of: Starter, valkey_server: Valkey) -> Iterator[Stage]:
    valkey_server.revive()
    made = Stage(api_of, valkey_server.url(SHARED_DB))
    yield made
    made.close()


@pytest.fixture
def stage(_running_stage: Stage, valkey_server: Valkey) -> Stage:
    """An API that streams, shared; another test may have ended the Redis it reads."""
    valkey_server.start()
    _running_stage.follow()
    return _running_stage


@pytest.fixture(scope="session")
def people(_running_stage: Stage) -> People:
    """Somebody for each role."""
    stage = _running_stage
    return People(register(stage.api), register(stage.api), register(stage.api, Role.OPERATOR))


@pytest.fixture
def own_stage(api_of: Starter, valkey_server: Valkey) -> Iterator[Stage]:
    """An API of the test's own, which it may end."""
    valkey_server.start()
    # Long enough for streams to end by themselves, whatever else the machine does.
    made = Stage(api_of, valkey_server.url(OWN_DB), grace_s="45", EVENT_STREAMS_PER_CALLER="1000")
    yield made
    made.close()
    made.api.service.child.stop()
