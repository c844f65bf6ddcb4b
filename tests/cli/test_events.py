"""`tradepost events`: what differs ends with 1, what is rebuilt agrees, who is gone is removed."""

import json
import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from infra.db import Database
from infra.events.relay import Relay, publish
from infra.redis import connect
from infra.streams import Streams
from tests.support.forks import Forks
from tests.support.outbox import record_many
from tests.support.valkey import Valkey
from workers.topics import TOPICS

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def env(sqlite_database: Database, sqlite_url: str, valkey: Valkey) -> dict[str, str]:
    """Five published orders on servers of a test's own."""
    client = connect(valkey.url())
    record_many(sqlite_database, 5)
    publish(Relay(sqlite_database.sessions, Streams(client), TOPICS))
    client.close()
    return {"DATABASE_URL": sqlite_url, "BROKER_URL": valkey.url(), "GROUP_IDLE_H": "1"}


@pytest.fixture
def events(env: dict[str, str], forks: Forks) -> Call:
    """Call `tradepost events …` on these servers."""
    return partial(forks.run, "cli", "events", env=env)


def test_streams_that_differ_are_told_and_rebuilt(events: Call, valkey: Valkey) -> None:
    with valkey.client() as client:
        client.xdel("events:orders", "1-2")

    differing = events("verify", "--json", "--topic", "orders")
    unconfirmed = events("rebuild", "--topic", "orders")
    rebuilt = events("rebuild", "--topic", "orders", "--yes")
    agreeing = events("verify")

    (verdict,) = json.loads(differing.stdout)
    assert (differing.returncode, verdict["found"]) == (1, {"missing": 1})
    assert verdict["differences"][0]["entry_id"] == "1-2"
    assert unconfirmed.returncode == 1
    assert (rebuilt.returncode, rebuilt.stdout) == (0, "5 entries on 1 streams.\n")
    assert (agreeing.returncode, agreeing.stdout.splitlines()[0]) == (
        0,
        "orders: agrees (5 entries compared)",
    )


def test_group_with_pending_entries_is_removed_by_force_only(events: Call, valkey: Valkey) -> None:
    with valkey.client() as client:
        client.xgroup_create("events:orders", "mailer", id="0")
        client.xreadgroup("mailer", "one", {"events:orders": ">"}, count=2)

    (listed,) = json.loads(events("groups", "--json").stdout)
    refused = events("groups", "remove", "mailer", "--topic", "orders")
    removed = events("groups", "remove", "mailer", "--topic", "orders", "--force")

    assert (listed["name"], listed["pending"], listed["lag"]) == ("mailer", 2, 3)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert removed.returncode == 0
    assert "2 pending entries are forgotten" in removed.stdout
