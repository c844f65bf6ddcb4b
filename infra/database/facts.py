"""What servers say of themselves: version, clock, and the settings that we depend on."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from infra import clock
from infra.database import schema
from infra.db import Database
from infra.redis import Client, translated


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """A database: which one, how far its clock is from ours, and tables that it lacks."""

    kind: str
    version: str
    skew_s: float
    missing_tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """A Redis: how far its clock is from ours, and what it does when memory or power is gone."""

    version: str
    skew_s: float
    maxmemory_policy: str
    appendonly: bool


def of_database(database: Database) -> DatabaseFacts:
    """Ask a database.

    Raises:
        OperationalError: it does not answer, or not to us.
    """
    with database.reads() as session:
        kind = session.get_bind().dialect.name
        query = "SELECT sqlite_version()" if kind == "sqlite" else "SELECT VERSION()"
        version = str(session.execute(sa.text(query)).scalar_one())
        skew_s = (clock.now(session) - datetime.now(UTC)).total_seconds()
        missing = schema.missing_tables(session)
    return DatabaseFacts(
        "mariadb" if "mariadb" in version.lower() else kind, version, skew_s, frozenset(missing)
    )


def of_redis(client: Client) -> RedisFacts:
    """Ask a Redis.

    Raises:
        RedisDown: it does not answer, or not to us.
    """
    with translated():
        seconds, micros = client.time()
        server = client.info("server")
        memory = client.info("memory")
        persistence = client.info("persistence")
    return RedisFacts(
        version=str(server.get("valkey_version") or server["redis_version"]),
        skew_s=seconds + micros / 1_000_000 - time.time(),
        maxmemory_policy=str(memory.get("maxmemory_policy", "")),
        appendonly=bool(persistence.get("aof_enabled")),
    )
