"""History and candles over HTTP, as JSON and as CSV."""

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from infra.db import Database, open_database
from market import rolling
from tests.api.conftest import Api
from tests.support.quotes import store_quotes

NOON = datetime(2026, 11, 20, 15, tzinfo=UTC)
SPAN = {"from": "2026-11-20", "to": "2026-11-21"}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Booth:
    """An API and a symbol of the test's own."""

    http: httpx.Client
    database: Database
    symbol: str

    def store(self, count: int, *, every_s: int = 20, begin: datetime = NOON) -> None:
        stored = [
            (begin + timedelta(seconds=every_s * n), f"{100 + n}.10000000000000000001")
            for n in range(count)
        ]
        store_quotes(self.database, self.symbol, stored)
        rolling.roll_up(self.database, run_s=60)

    def get(self, path: str, **params: Any) -> httpx.Response:
        query = {"symbol": self.symbol, **SPAN, **params}
        return self.http.get(f"/market/{path}", params=query)


@pytest.fixture
def booth(closed_api: Api) -> Iterator[Booth]:
    database = open_database(closed_api.database_url)
    with closed_api.client() as http:
        yield Booth(http, database, f"-BOOTH{next(_numbers)}")
    database.engine.dispose()


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_candles_are_columns_of_one_length(booth: Booth) -> None:
    booth.store(180)

    answer = booth.get("candles", resolution="15")

    shown = answer.json()
    columns = ("t", "o", "h", "l", "c", "n", "covered", "expected", "coverage", "open")
    assert answer.status_code == 200
    assert {len(shown[name]) for name in columns} == {4}
    assert shown["t"][0] == int(NOON.timestamp())
    assert (shown["s"], shown["resolution"], shown["source"]) == ("ok", "15", "simulated")
    assert shown["coverage"] == [1.0] * 4
    assert shown["open"] == [False] * 4
    assert shown["age_s"] > 0
    assert '"o":[100.10000000000000000001,' in answer.text


def test_span_without_quotes_has_no_data(booth: Booth) -> None:
    booth.store(3)

    shown = booth.get("candles", **{"from": "2026-11-01", "to": "2026-11-02"}).json()

    assert (shown["s"], shown["t"], shown["as_of"]) == ("no_data", [], None)


def test_span_can_be_given_in_unix_seconds(booth: Booth) -> None:
    booth.store(10, every_s=60)
    first = int(NOON.timestamp())

    shown = booth.get("candles", **{"from": first + 120, "to": first + 240}).json()

    assert shown["t"] == [first + 120, first + 180, first + 240]


def test_candles_as_csv_tell_the_same(booth: Booth) -> None:
    booth.store(180)

    told = booth.get("candles", resolution="30").json()
    rows = rows_of(booth.get("candles", resolution="30", format="csv"))

    assert [int(row["t"]) for row in rows] == told["t"]
    assert [float(row["c"]) for row in rows] == told["c"]
    assert [float(row["coverage"]) for row in rows] == told["coverage"]
    assert rows[0]["o"] == "100.10000000000000000001"
    assert rows[0]["open"] == "false"


def test_history_is_paged_newest_first_to_its_end(booth: Booth) -> None:
    booth.store(25)

    answer, prices = booth.get("history", limit=10), []
    while True:
        prices += [quote["c"] for quote in answer.json()]
        if "next" not in answer.links:
            break
        answer = booth.http.get(answer.links["next"]["url"])

    assert prices == [pytest.approx(100.1 + n) for n in range(24, -1, -1)]


@pytest.mark.parametrize("path", ["history", "candles"])
def test_reader_who_has_the_answer_is_told_so(booth: Booth, path: str) -> None:
    booth.store(30)
    tag = booth.get(path).headers["etag"]
    booth.http.headers["If-None-Match"] = tag

    again = booth.get(path)
    booth.store(1, begin=NOON + timedelta(hours=1))
    changed = booth.get(path)

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert changed.status_code == 200


def test_history_as_csv_is_whole_oldest_first_and_exact(booth: Booth) -> None:
    booth.store(120)

    answer = booth.get("history", format="csv")

    rows = rows_of(answer)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="{booth.symbol}-history.csv"'
    )
    assert [row["c"] for row in rows] == [f"{100 + n}.10000000000000000001" for n in range(120)]
    assert (rows[0]["as_of"], rows[0]["dp"]) == ("2026-11-20T15:00:00Z", "")


def test_csv_holds_no_formula(booth: Booth) -> None:
    booth.store(1)

    (row,) = rows_of(booth.get("history", format="csv"))

    # A negative number stays one; a text that begins like one is marked as text.
    assert row["d"] == "-0.5"
    assert row["symbol"] == f"'{booth.symbol}"


@pytest.mark.parametrize("path", ["history", "candles"])
def test_symbol_without_a_quote_is_not_found(booth: Booth, path: str) -> None:
    for form in ("json", "csv"):
        answer = booth.get(path, symbol="NEVER", format=form)

        assert answer.status_code == 404
        assert answer.json()["code"] == "unknown_symbol"


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("history", {"symbol": "../.."}, "invalid_symbol"),
        ("history", {"symbol": "A" * 1000}, "invalid_symbol"),
        ("history", {"from": "2026-11-21", "to": "2026-11-20"}, "invalid_span"),
        ("history", {"from": "1900-01-01"}, "invalid_span"),
        ("history", {"to": "9999-12-31T23:59:59-23:59"}, "invalid_span"),
        ("history", {"from": "yesterday"}, "invalid"),
        ("history", {"cursor": "x"}, "bad_cursor"),
        ("history", {"limit": "1000000000"}, "invalid"),
        ("history", {"format": "xls"}, "invalid"),
        ("candles", {"resolution": "2"}, "invalid"),
        ("candles", {"resolution": "W"}, "invalid"),
        ("candles", {"from": "1e999"}, "invalid"),
        ("candles", {"from": "2026-01-01", "resolution": "1"}, "too_many_candles"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    booth: Booth, path: str, params: dict[str, str], code: str
) -> None:
    booth.store(1)

    answer = booth.get(path, **params)

    assert (answer.status_code, answer.json()["code"]) == (422, code)
