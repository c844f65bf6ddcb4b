"""A shop with an API before it, for the modules that name this one as a plugin."""

from collections.abc import Iterator

import pytest

from accounts.tables import Role
from infra.db import Database
from tests.api.conftest import Api, Starter
from tests.api.shopfront import Shopfront, Visitor
from tests.support.mariadb import MariaDB
from tests.support.processes import eventually
from tests.support.valkey import Valkey


@pytest.fixture(scope="session")
def _shop_api(api_of: Starter, mariadb_server: MariaDB) -> Api:
    return api_of("required", DATABASE_URL=mariadb_server.url())


@pytest.fixture
def front(_shop_api: Api, database: Database, valkey: Valkey) -> Shopfront:
    """A clean shop with an API before it."""
    return Shopfront(_shop_api, database)


@pytest.fixture
def customer(front: Shopfront) -> Visitor:
    """Somebody who buys."""
    return front.visitor()


@pytest.fixture
def fragile_valkey(valkey: Valkey, customer: Visitor) -> Iterator[Valkey]:
    """The shop's Valkey, to be broken; healed again, the shop rings before the next test."""

    def rings() -> bool:
        customer.http.post("/payments/start")
        with valkey.client() as broker:
            return bool(broker.llen("payments"))

    yield valkey
    valkey.revive()
    eventually(rings, 60)


@pytest.fixture
def operator(front: Shopfront) -> Visitor:
    """Somebody who works in the shop."""
    return front.visitor(Role.OPERATOR)
