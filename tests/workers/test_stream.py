"""The process that keeps the websocket, and its spare."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from infra.db import Database
from infra.redis import connect
from market import stream_watch
from market.models import Quote
from tests.support.fleet import Fleet
from tests.support.processes import Child, eventually
from tests.support.quotes import store_quotes
from tests.support.valkey import Valkey

BITCOIN = "BINANCE:BTCUSDT"


def start(fleet: Fleet, name: str, heartbeat: Path) -> Child:
    child = fleet.run(
        name, ["-m", "workers.stream"], WATCHLIST=BITCOIN, HEARTBEAT_FILE=str(heartbeat)
    )
    child.wait_until(heartbeat.exists)
    return child


def is_connected(child: Child) -> bool:
    return "stream_connected" in child.log()


def stored(database: Database) -> int:
    with database.reads() as session:
        return session.scalars(sa.select(sa.func.count()).select_from(Quote)).one()


def test_spare_takes_over_when_the_first_is_killed(
    fleet: Fleet, database: Database, valkey: Valkey, tmp_path: Path
) -> None:
    # Trades bring a quote up to date; there must be one.
    store_quotes(database, BITCOIN, [(datetime.now(UTC) - timedelta(seconds=20), "68000")])
    first = start(fleet, "stream1", tmp_path / "one")
    eventually(lambda: is_connected(first))
    spare = start(fleet, "stream2", tmp_path / "two")
    eventually(lambda: stored(database) > 3)
    was_connected = is_connected(spare)

    first.kill_hard()
    with valkey.client(2) as cache:
        assert cache.pexpire("lease:finnhub-stream", 200)  # the ten seconds pass
    before = stored(database)
    eventually(lambda: stored(database) > before + 3)

    assert not was_connected
    assert is_connected(spare)
    told = stream_watch.read(connect(valkey.url(2)))
    assert (told.is_connected, told.connections) == (True, 2)
    assert spare.stop() == 0
