"""A long backlog drains in bounded memory, and rows that are too old go in small deletes."""

import json
import subprocess
from datetime import timedelta
from typing import Any

import pytest
import redis

from infra.db import Database
from infra.events import retention, verification
from infra.events.retention import Retention
from infra.redis import connect
from infra.streams import Streams
from tests.support.processes import PYTHON, ROOT, clean_environment
from tests.support.valkey import Valkey

MANY = pytest.mark.parametrize(
    "count",
    [10_000, pytest.param(1_000_000, marks=[pytest.mark.proof, pytest.mark.timeout(900)])],
)
MOST_MEMORY_MB = 160
_CHUNK = 100_000
# From MariaDB's own tables of numbers, whose names cannot be a parameter.
_WRITE = """
INSERT INTO event (topic, subject, version, type, time, data)
SELECT 'orders', CONCAT('things/', (seq - 1) DIV 2), (seq - 1) MOD 2 + 1, 'order.paid',
       UTC_TIMESTAMP(6), CONCAT('{"id":', seq, ',"total":42.5}')
FROM NUMBERS
"""


def leave_backlog(database: Database, count: int) -> None:
    """Write events as writers do, without numbers; the server makes the rows."""
    for first in range(1, count + 1, _CHUNK):
        last = min(first + _CHUNK - 1, count)
        with database.sessions.begin() as session:
            numbers = f"seq_{first}_to_{last}"
            session.connection().exec_driver_sql(_WRITE.replace("NUMBERS", numbers))


def drain(database_url: str, valkey: Valkey) -> dict[str, Any]:
    done = subprocess.run(
        [PYTHON, "-m", "tests.support.drain", database_url, valkey.url()],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@MANY
def test_backlog_drains_in_bounded_memory_and_is_pruned_in_small_deletes(
    count: int, database: Database, database_url: str, valkey: Valkey, plain: "redis.Redis"
) -> None:
    leave_backlog(database, count)

    told = drain(database_url, valkey)

    print(f"{count} events: {told}, {told['added'] / told['seconds']:.0f}/s")  # noqa: T201 - a figure
    assert told["added"] == plain.xlen("events:orders") == count
    assert told["peak_mb"] < MOST_MEMORY_MB
    client = connect(valkey.url())
    streams = Streams(client)
    verdict = verification.compare(database.reads, streams, "orders", lambda _: None)
    assert verdict.agrees
    assert verdict.compared == count
    nothing = timedelta(0)
    kept = Retention(database.sessions, streams, ("orders",), entries=nothing, rows=nothing)
    assert retention.prune(kept, budget_s=600).removed == count - 1
    assert retention.trim(kept, budget_s=600).removed == count
    client.close()
