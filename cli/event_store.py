"""The database and the streams that commands about events work with."""

from dataclasses import dataclass

from cli.running import settings_of_run
from infra.db import Database, open_database
from infra.events.relay import Relay
from infra.events.retention import Retention
from workers import deps


@dataclass(frozen=True)
class Store:
    """Events in both their places, and what is kept of them."""

    database: Database
    relay: Relay
    retention: Retention


def open_store() -> Store:
    """Open database and streams as settings say, those of a run over the same folder if none do."""
    settings = settings_of_run()
    database = open_database(settings.database)
    relay = deps.make_relay(settings, database)
    return Store(database, relay, deps.make_retention(settings, relay))
