"""`tradepost seed`, `queues` and `tasks` where nothing runs: they say so, and do what they can."""

import json
import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from accounts import audit
from infra.db import Database
from infra.jobs import queues
from tests.support.forks import Forks
from tests.support.processes import free_port

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tradepost(forks: Forks, sqlite_url: str) -> Call:
    """Call `tradepost …` on a machine with this database and no Redis."""
    env = {"DATABASE_URL": sqlite_url, "BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
    return partial(forks.run, "cli", env=env)


def test_seed_adds_what_is_missing_and_a_repeat_adds_nothing(tradepost: Call) -> None:
    first = tradepost("seed", "--products", "3", "--users", "1", "--json")
    again = tradepost("seed", "--products", "3", "--users", "1", "--json")

    assert json.loads(first.stdout) == {"products": 3, "users": 1}
    assert json.loads(again.stdout) == {"products": 0, "users": 0}


def test_queue_is_paused_without_redis_and_the_list_says_that_nobody_can_tell(
    tradepost: Call, sqlite_database: Database
) -> None:
    paused = tradepost("queues", "pause", "market", "--reason", "An outage.")
    listed = tradepost("queues", "list", "--json")

    assert (paused.returncode, paused.stdout) == (0, "The queue market is paused.\n")
    assert listed.returncode == 1
    assert {queue["depth"] for queue in json.loads(listed.stdout)} == {None}
    with sqlite_database.reads() as session:
        pause = queues.list_pauses(session)["market"]
        (entry,) = audit.list_entries(session, below=None, limit=9)
    assert (pause.reason, pause.paused_by) == ("An outage.", None)
    assert (entry.action, entry.subject) == ("tradepost queues pause", "queues/market")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["queues", "pause", "market"], 2, "Say with --reason why"),
        (["queues", "resume", "paymets"], 1, "There is no queue 'paymets'."),
        (["queues", "canary", "market"], 1, "The queue market is not paused"),
        (["tasks", "retry", "99"], 1, "There is no task 99."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_sentence(
    tradepost: Call, arguments: list[str], code: int, sentence: str
) -> None:
    done = tradepost(*arguments)

    assert done.returncode == code
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
