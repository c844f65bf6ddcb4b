"""A CSV of any length is sent while it is read: the server's memory stays flat."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Database, transact
from tests.api.shopfront import Shopfront

pytest_plugins = ("tests.api.shop_fixtures",)

SYMBOL = "FLAT"
MOST_GROWTH_MB = 24
_FILL = """
INSERT INTO quote (symbol, provider_time, price, `change`, change_percent, high, low, `open`,
                   previous_close, source, fetched_at)
SELECT :symbol, '2026-01-01' + INTERVAL seq SECOND, CONCAT(100 + seq % 900, '.25'), '-0.75',
       '-0.2873', '999.25', '100.25', '101.5', '101', 'simulated', '2026-11-20'
FROM seq_1_to_{count}
"""
_KNOWN = """
INSERT INTO instrument (symbol, version, source, provider_time, fetched_at)
SELECT symbol, COUNT(*), 'simulated', MAX(provider_time), MAX(fetched_at)
FROM quote WHERE symbol = :symbol GROUP BY symbol
"""


@pytest.fixture
def _emptied(database: Database) -> Iterator[None]:
    yield
    with database.engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE TABLE quote"))


@pytest.mark.parametrize("count", [50_000, pytest.param(1_000_000, marks=pytest.mark.proof)])
@pytest.mark.timeout(500)
@pytest.mark.usefixtures("_emptied")
def test_memory_stays_flat_however_long_the_history_is(
    front: Shopfront, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    _fill(front.database, count)
    pid = front.api.service.child.pid
    _read(front, first="2026-01-01", last="2026-01-01T00:00:10")
    before_mb = _forget_peak(pid)

    begun = time.perf_counter()
    lines, size_bytes = _read(front, first="2026-01-01", last="2026-02-01")
    took_s = time.perf_counter() - begun

    grown_mb = _peak_mb(pid) - before_mb
    with capsys.disabled():
        sys.stdout.write(
            f"\nexport: {count} rows, {size_bytes / 1e6:.1f} MB in {took_s:.1f} s,"
            f" memory grown by {grown_mb:.1f} MB from {before_mb:.0f}\n"
        )
    assert lines == count + 1
    assert grown_mb < MOST_GROWTH_MB


def _fill(database: Database, count: int) -> None:
    def fill(session: Session) -> None:
        session.execute(sa.text(_FILL.format(count=count)), {"symbol": SYMBOL})
        session.execute(sa.text(_KNOWN), {"symbol": SYMBOL})

    transact(database.sessions, fill)


def _read(front: Shopfront, *, first: str, last: str) -> tuple[int, int]:
    """Read a CSV and throw it away; count its lines and its bytes."""
    lines = size_bytes = 0
    query = {"symbol": SYMBOL, "from": first, "to": last, "format": "csv"}
    with (
        front.api.client() as http,
        http.stream("GET", "/market/history", params=query, timeout=60) as answer,
    ):
        for part in answer.iter_raw():
            lines += part.count(b"\n")
            size_bytes += len(part)
    return lines, size_bytes


def _forget_peak(pid: int) -> float:
    """Begin to measure the peak anew; return what the process holds now, in MB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _peak_mb(pid)


def _peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
