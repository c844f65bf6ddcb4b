"""Quotes become bars and are let go: none is lost, none counts twice, whatever happens between."""

import random
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from threading import Barrier, Thread

import pytest
import sqlalchemy as sa

from infra.db import Database, transact
from market import quotes, rolling
from market.bars import Bar, QuoteBar, bar_of_row, select_bars, start_of
from market.models import Instrument, Quote
from market.rolling import Done, Retention
from tests.support.figures import make_figures
from tests.support.processes import Nursery
from tests.support.quotes import store_quotes

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEPT = Retention(timedelta(days=7), timedelta(days=90), timedelta(days=3650))
LATER = NOON + timedelta(days=8)
Stored = Sequence[tuple[datetime, str]]


def walk(count: int, *, every_s: int = 20, seed: int = 1) -> Stored:
    """Make quotes whose prices have digits that no float has."""
    steps = random.Random(seed)
    at, price = NOON, Decimal("261.7400000000000001")
    made = []
    for _ in range(count):
        made.append((at, str(price)))
        at += timedelta(seconds=steps.randint(1, 2 * every_s))
        price += Decimal(steps.randint(-99, 99)) / 100
    return made


def bars_of(
    database: Database, minutes: int, *, symbol: str = "AAPL", source: str = "simulated"
) -> list[Bar]:
    with database.reads() as session:
        rows = session.execute(
            select_bars(symbol, source=source, minutes=minutes).order_by(QuoteBar.start_at)
        )
        return [bar_of_row(row) for row in rows]


def expected_bars(stored: Stored, minutes: int) -> list[Bar]:
    """Make bars the plain way: all quotes of a bar at hand, in order."""
    return [
        _plain_bar(start_at, list(group))
        for start_at, group in groupby(
            sorted(stored), key=lambda quote: start_of(quote[0], minutes=minutes)
        )
    ]


def _plain_bar(start_at: datetime, group: Stored) -> Bar:
    prices = [Decimal(price) for _, price in group]
    return Bar(
        start_at=start_at,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        first_at=group[0][0],
        last_at=group[-1][0],
        samples=len(group),
        covered=len({start_of(at, minutes=1) for at, _ in group}),
    )


def quote_times(database: Database, symbol: str = "AAPL") -> list[datetime]:
    with database.reads() as session:
        found = sa.select(Quote.provider_time).where(Quote.symbol == symbol)
        return sorted(session.scalars(found))


def roll_up(database: Database, *, step: int = 500) -> Done:
    return rolling.roll_up(database, run_s=60, step=step)


def test_quotes_become_their_minutes_and_hours(each_database: Database) -> None:
    stored = walk(700)
    store_quotes(each_database, "AAPL", stored)

    done = roll_up(each_database)

    assert done == Done(rows=700, left=False)
    assert bars_of(each_database, 1) == expected_bars(stored, 1)
    assert bars_of(each_database, 60) == expected_bars(stored, 60)


@pytest.mark.parametrize("step", [1, 7])
def test_bars_are_the_same_however_small_the_steps(database: Database, step: int) -> None:
    stored = walk(60)
    for start in range(0, 60, 20):
        store_quotes(database, "AAPL", stored[start : start + 20])
        roll_up(database, step=step)

    assert bars_of(database, 1) == expected_bars(stored, 1)
    assert bars_of(database, 60) == expected_bars(stored, 60)


def test_rolling_up_again_changes_nothing(database: Database) -> None:
    store_quotes(database, "AAPL", walk(50))
    roll_up(database)
    before = bars_of(database, 1), bars_of(database, 60)

    done = roll_up(database)

    assert done == Done(rows=0, left=False)
    assert (bars_of(database, 1), bars_of(database, 60)) == before


def test_a_quote_that_comes_late_is_put_where_it_belongs(database: Database) -> None:
    stored = [*walk(30)[10:], (NOON + timedelta(seconds=3), "9.5")]
    store_quotes(database, "AAPL", stored[:-1])
    roll_up(database)
    store_quotes(database, "AAPL", stored[-1:])

    roll_up(database)

    assert bars_of(database, 1) == expected_bars(stored, 1)
    assert bars_of(database, 60) == expected_bars(stored, 60)


def test_simulated_and_real_quotes_share_no_bar(database: Database) -> None:
    stored = walk(10)
    store_quotes(database, "AAPL", stored[:5])
    store_quotes(database, "AAPL", stored[5:], source="finnhub")

    roll_up(database)

    assert bars_of(database, 60) == expected_bars(stored[:5], 60)
    assert bars_of(database, 60, source="finnhub") == expected_bars(stored[5:], 60)


def test_a_quote_that_gives_way_to_another_source_is_in_the_bars_of_both(
    database: Database,
) -> None:
    for source, price in (("simulated", "10"), ("finnhub", "20")):
        transact(
            database.sessions,
            lambda session, source=source, price=price: quotes.save(  # type: ignore[misc]
                session,
                symbol="AAPL",
                figures=make_figures(NOON, price=price),
                source=source,
                now=NOON,
            ),
        )
        roll_up(database)

    assert [bar.close for bar in bars_of(database, 1)] == [10]
    assert [bar.close for bar in bars_of(database, 1, source="finnhub")] == [20]


def test_two_workers_at_once_count_each_quote_once(database: Database) -> None:
    stored = walk(400)
    store_quotes(database, "AAPL", stored)
    together = Barrier(2)

    def work() -> None:
        together.wait()
        roll_up(database, step=10)

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bars_of(database, 1) == expected_bars(stored, 1)
    assert bars_of(database, 60) == expected_bars(stored, 60)


def test_old_quotes_go_and_their_bars_and_the_present_quote_stay(each_database: Database) -> None:
    stored = walk(40)
    store_quotes(each_database, "AAPL", stored)
    roll_up(each_database)

    done = rolling.prune(each_database, KEPT, run_s=60, step=7, now=LATER)

    assert done == Done(rows=39, left=False)
    assert quote_times(each_database) == [stored[-1][0]]
    assert bars_of(each_database, 1) == expected_bars(stored, 1)


def test_what_is_in_no_bar_yet_is_not_let_go(database: Database) -> None:
    stored = walk(20)
    store_quotes(database, "AAPL", stored[:10])
    roll_up(database)
    store_quotes(database, "AAPL", stored[10:])

    rolling.prune(database, KEPT, run_s=60, now=LATER)

    assert quote_times(database) == [at for at, _ in stored[10:]]


def test_quotes_within_the_days_stay(database: Database) -> None:
    store_quotes(database, "AAPL", walk(20))
    roll_up(database)

    rolling.prune(database, KEPT, run_s=60, now=NOON + timedelta(days=7))

    assert len(quote_times(database)) == 20


@pytest.mark.parametrize(("days", "left"), [(8, [1, 60]), (91, [60]), (3651, [])])
def test_bars_of_minutes_go_before_those_of_hours(
    database: Database, days: int, left: list[int]
) -> None:
    store_quotes(database, "AAPL", walk(20))
    roll_up(database)

    rolling.prune(database, KEPT, run_s=60, now=NOON + timedelta(days=days, hours=1))

    assert [minutes for minutes in (1, 60) if bars_of(database, minutes)] == left


def test_a_run_ends_by_its_time_and_the_next_goes_on(database: Database) -> None:
    stored = walk(50)
    store_quotes(database, "AAPL", stored)

    first = rolling.roll_up(database, run_s=0, step=5)
    roll_up(database)

    assert first == Done(rows=5, left=True)
    assert bars_of(database, 1) == expected_bars(stored, 1)


ROLL_PLACES = ["roll.read", "roll.folded", "roll.marked"]
PRUNE_PLACES = ["rolling.committed", "prune.deleted", "prune.marked"]
RUN = """
import sys
from datetime import datetime, timedelta
from infra.db import open_database
from market import rolling
from market.rolling import Retention

database = open_database(sys.argv[1])
kept = Retention(timedelta(days=7), timedelta(days=90), timedelta(days=3650))
rolling.roll_up(database, run_s=60, step=15)
rolling.prune(database, kept, run_s=60, step=15, now=datetime.fromisoformat(sys.argv[2]))
"""


def test_killed_between_any_two_steps_nothing_is_lost_or_doubled(
    database: Database, database_url: str, processes: Nursery, tmp_path: Path
) -> None:
    stored = walk(50)
    store_quotes(database, "AAPL", stored)

    for place in [*ROLL_PLACES, *PRUNE_PLACES]:
        child = processes.start(
            f"killed-at-{place}",
            [sys.executable, "-c", RUN, database_url, LATER.isoformat()],
            env={"FAILPOINTS": f"{place}=kill", "FAILPOINTS_DIR": str(tmp_path)},
        )
        assert child.wait(60) == -signal.SIGKILL, place
    roll_up(database)
    rolling.prune(database, KEPT, run_s=60, now=LATER)

    assert bars_of(database, 1) == expected_bars(stored, 1)
    assert bars_of(database, 60) == expected_bars(stored, 60)
    assert quote_times(database) == [stored[-1][0]]


def test_symbol_that_is_furthest_behind_comes_first(database: Database) -> None:
    store_quotes(database, "AAPL", walk(3))
    store_quotes(database, "MSFT", walk(9))

    rolling.roll_up(database, run_s=0)

    assert bars_of(database, 60, symbol="MSFT")
    assert not bars_of(database, 60, symbol="AAPL")


def test_the_shown_quote_is_found_after_pruning(database: Database) -> None:
    store_quotes(database, "AAPL", walk(5))
    roll_up(database)
    rolling.prune(database, KEPT, run_s=60, now=LATER)

    with database.reads() as session:
        shown = quotes.find_stored(session, "AAPL")
        instrument = session.get_one(Instrument, "AAPL")

    assert shown is not None
    assert instrument.version == 5
