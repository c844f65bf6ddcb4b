"""However many orders there are, a page of them, a claim and a sweep read as much as ever."""

import pytest

from tests.support.mariadb import MariaDB
from tests.support.scale import costs

FLAT = 1.3


def test_ten_times_the_orders_cost_no_more_rows(mariadb_server: MariaDB) -> None:
    small = costs(mariadb_server, 1_000, rounds=1)

    large = costs(mariadb_server, 10_000, rounds=1)

    assert {name: cost.rows for name, cost in large.items()} == {
        name: pytest.approx(cost.rows, rel=FLAT - 1, abs=5) for name, cost in small.items()
    }


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_million_orders_cost_no_more_rows_than_ten_thousand(mariadb_server: MariaDB) -> None:
    small = costs(mariadb_server, 10_000, rounds=1)

    large = costs(mariadb_server, 1_000_000, rounds=1)

    assert {name: cost.rows for name, cost in large.items()} == {
        name: pytest.approx(cost.rows, rel=FLAT - 1, abs=5) for name, cost in small.items()
    }
    assert {name: cost.scanned for name, cost in large.items() if cost.scanned} == {}
