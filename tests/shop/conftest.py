"""Shops over both databases, with a gateway in memory or the sandbox's own process behind them."""

from collections.abc import Iterator

import pytest

from infra.db import Database, open_database
from shop.gateways.sandbox import SandboxGateway
from shop.gateways.stripe import StripeGateway
from tests.shop.canned import CannedServer
from tests.shop.stage import Shop
from tests.support.contract import checked_writers
from tests.support.databases import speak_as_mysql
from tests.support.gateway import FakeGateway
from tests.support.processes import Nursery
from tests.support.sandbox import Sandbox
from tests.support.stripe_front import API_KEY, StripeFront

POOL_SIZE = 100
# Who answers is another process, which a loaded machine may keep waiting for seconds.
PATIENT_S = 60.0


@pytest.fixture(autouse=True)
def _writers_keep_the_contract() -> Iterator[None]:
    with checked_writers():
        yield


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()


@pytest.fixture
def shop(each_database: Database, gateway: FakeGateway) -> Shop:
    """A shop on MariaDB and on SQLite in turn."""
    return Shop(each_database, gateway)


@pytest.fixture
def busy_database(database_url: str) -> Iterator[Database]:
    """A clean MariaDB database with a connection for each of many threads."""
    database = open_database(database_url, pool_size=POOL_SIZE)
    speak_as_mysql(database.engine)
    yield database
    database.engine.dispose()


@pytest.fixture
def busy_shop(busy_database: Database, gateway: FakeGateway) -> Shop:
    """A shop on MariaDB that many threads may enter."""
    return Shop(busy_database, gateway)


@pytest.fixture
def hurried_shop(database_url: str, busy_shop: Shop, gateway: FakeGateway) -> Iterator[Shop]:
    """Another door to the busy shop, where nobody waits for a lock."""
    database = open_database(database_url, lock_wait_timeout_s=0)
    speak_as_mysql(database.engine)
    yield Shop(database, gateway)
    database.engine.dispose()


@pytest.fixture(scope="session")
def _world(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(nursery, tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(_world: Sandbox) -> Sandbox:
    """The stand-ins' process, without faults; its ledger remembers earlier tests."""
    _world.reset()
    return _world


@pytest.fixture
def sandbox_gateway(world: Sandbox) -> SandboxGateway:
    """The client of the sandbox's gateway."""
    return SandboxGateway(world.gateway_url, timeout_s=PATIENT_S)


@pytest.fixture(scope="session")
def _stripe_front(nursery: Nursery) -> Iterator[StripeFront]:
    front = StripeFront(nursery)
    yield front
    front.close()


@pytest.fixture
def stripe_front(_stripe_front: StripeFront) -> StripeFront:
    """Stripe as the tests have it, without faults; its books remember earlier tests."""
    _stripe_front.reset()
    return _stripe_front


@pytest.fixture
def stripe_gateway(stripe_front: StripeFront) -> StripeGateway:
    """The client of Stripe, pointed at the tests' own."""
    return StripeGateway(API_KEY, api_base=stripe_front.url, timeout_s=PATIENT_S)


@pytest.fixture
def canned() -> Iterator[CannedServer]:
    """A server that answers as the test says."""
    server = CannedServer()
    yield server
    server.close()
