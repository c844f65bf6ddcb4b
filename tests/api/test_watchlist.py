"""The watchlist with a worker behind it, which fetches what nobody asks for."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.databases import CleanDatabase
from tests.support.fleet import Fleet
from tests.support.http import persistent_client
from tests.support.processes import Nursery, eventually
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey


@pytest.fixture
def fleet(
    processes: Nursery,
    valkey: Valkey,
    _clean_database: CleanDatabase,
    sandbox: Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Fleet:
    _clean_database.clean()
    env = {
        "DATABASE_URL": _clean_database.url,
        "BROKER_URL": valkey.url(0),
        "CACHE_URL": valkey.url(2),
        **sandbox.env(),
        "AUTH_MODE": "open",
        "WATCHLIST": "AAPL",
    }
    return Fleet(processes, env, tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def api(fleet: Fleet) -> Iterator[httpx.Client]:
    fleet.worker(["market", "events"], concurrency=1)
    with persistent_client(fleet.api().url) as client:
        yield client


def test_what_an_operator_watches_is_fetched_without_being_asked_for(
    api: httpx.Client, fleet: Fleet, sandbox: Sandbox
) -> None:
    before = api.get("/").json()["market"], api.get("/market/status").json()["source"]
    # A budget that nothing is known of is spent a call a second: what it puts off, beat takes up.
    fleet.beat(wait=False)
    put = [api.put("/market/watchlist/binance:ltcusdt") for _ in range(2)]

    eventually(lambda: sandbox.calls_by_symbol().get("BINANCE:LTCUSDT"), 60, what="it is fetched")
    eventually(lambda: api.get("/").json()["market"] == "simulated", 60)
    after = api.get("/").json()["market"], api.get("/market/status").json()["source"]
    listed = {one["symbol"]: one["origin"] for one in api.get("/market/watchlist").json()}
    removed = [api.delete("/market/watchlist/BINANCE:LTCUSDT").status_code for _ in range(2)]
    refused = api.delete("/market/watchlist/AAPL")

    assert [answer.status_code for answer in put] == [201, 200]
    assert listed == {"AAPL": "configured", "BINANCE:LTCUSDT": "stored"}
    assert removed == [204, 404]
    assert (refused.status_code, refused.json()["code"]) == (409, "configured_symbol")
    # Where figures come from is for the workers to tell.
    assert (before, after) == (("unknown", "unknown"), ("simulated", "simulated"))
