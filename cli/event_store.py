"""The database and the streams that commands about events work with."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from infra import logs
from infra.db import Database, open_database
from infra.relay import Relay
from infra.retention import Retention
from infra.settings import Settings, load_settings
from workers import deps


@dataclass(frozen=True)
class Store:
    """Events in both their places, and what is kept of them."""

    settings: Settings
    database: Database
    relay: Relay
    retention: Retention


def open_store() -> Store:
    """Open database and streams as settings say, those of a run over the same folder if none do."""
    settings = _with_running_redis(load_settings())
    logs.configure(settings, service="cli")  # to standard error: the output is the command's
    database = open_database(settings.database)
    relay = deps.make_relay(settings, database)
    return Store(settings, database, relay, deps.make_retention(settings, relay))


def _with_running_redis(settings: Settings) -> Settings:
    told = Path(settings.data_dir) / "run.json"
    if not settings.uses_embedded_redis or settings.streams_url or not told.exists():
        return settings
    found = json.loads(told.read_bytes()).get("services", {}).get("redis", {})
    url = found.get("url")
    return settings.model_copy(update={"streams_url": SecretStr(url)}) if url else settings
