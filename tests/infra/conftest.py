from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis

from infra.db import Database
from infra.events.relay import Relay
from infra.redis import Client, connect
from infra.streams import Streams
from tests.support.valkey import Valkey
from workers.topics import TOPICS

MakeRelay = Callable[..., Relay]


@pytest.fixture
def plain(valkey: Valkey) -> Iterator["redis.Redis"]:
    """A plain reader and writer of the Redis that holds the streams."""
    with valkey.client() as client:
        yield client


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Client]:
    """A client as our own code opens it."""
    opened = connect(valkey.url(), timeout_s=30)
    yield opened
    opened.close()


@pytest.fixture
def streams(client: Client) -> Streams:
    return Streams(client)


@pytest.fixture
def make_relay(valkey: Valkey) -> Iterator[MakeRelay]:
    """Build relays, each with a connection of its own."""
    clients: list[Client] = []

    def make(database: Database, *, retention: timedelta = timedelta(hours=24)) -> Relay:
        clients.append(connect(valkey.url(), timeout_s=30))
        return Relay(database.sessions, Streams(clients[-1]), TOPICS, retention)

    yield make
    for opened in clients:
        opened.close()


@pytest.fixture
def relay(make_relay: MakeRelay, database: Database) -> Relay:
    return make_relay(database)
