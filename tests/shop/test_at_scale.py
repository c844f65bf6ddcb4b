"""However many orders there are, a page of them, a claim and a sweep read as much as ever."""

import sys

import pytest

from tests.support.mariadb import MariaDB
from tests.support.scale import Cost, costs, tell

FLAT = 1.3
# Looks that name their index, since the server takes another way when there are many rows.
HINTED = {
    "orders of a user": "ix_orders_user_id_id",
    "a later page": "ix_orders_user_id_id",
    "a later page of a state": "ix_orders_status_id",
    "a category": "ix_product_withdrawn_at_category_id",
}
# It has a row for each topic, and a look at the topics reads all of it.
READ_WHOLE = {"stream_state"}
# Rows that a look may read beyond that, so that a page of two has room as well.
A_FEW = 5


def grown(found: dict[int, dict[str, Cost]]) -> dict[str, tuple[int, int]]:
    small, large = found[min(found)], found[max(found)]
    return {
        name: (small[name].rows, cost.rows)
        for name, cost in large.items()
        if cost.rows > FLAT * small[name].rows + A_FEW
    }


def test_five_times_the_orders_cost_no_more_rows_and_hinted_looks_have_no_choice(
    mariadb: MariaDB,
) -> None:
    found = costs(mariadb, (2_000, 10_000), rounds=1)

    assert grown(found) == {}
    assert {name: found[2_000][name].plans[0].candidates for name in HINTED} == HINTED


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_million_orders_cost_no_more_rows_than_ten_thousand(
    mariadb: MariaDB, capsys: pytest.CaptureFixture[str]
) -> None:
    found = costs(mariadb, (10_000, 1_000_000), rounds=9)
    with capsys.disabled():
        sys.stdout.write(f"\n{tell(found)}")

    assert grown(found) == {}
    scans = {name: set(cost.scanned) - READ_WHOLE for name, cost in found[1_000_000].items()}
    assert {name: tables for name, tables in scans.items() if tables} == {}
