"""The websocket, against the stand-in's: what comes over it, and what is done when nothing does."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from infra import redis
from infra.db import Database, transact
from infra.outbox import Event
from infra.sharing.budget import Lane
from infra.sharing.lease import Lease
from infra.sharing.signs import TRADES, Signs
from infra.sharing.tally import Tally
from market import stream_watch, ticks
from market.drain import drain
from market.models import Instrument, Quote
from market.refresh import Desk
from market.stream_watch import StreamState, StreamWatch
from market.streaming import Ingest, Patience
from market.tape import Tick
from market.wants import Kind, Want
from tests.support.processes import eventually
from tests.support.quotes import store_quotes
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

BITCOIN, ETHER = "BINANCE:BTCUSDT", "BINANCE:ETHUSDT"
Logs = list[MutableMapping[str, Any]]
HURRIED = Patience(
    silent=30, stalled=1.0, first_wait=0.1, longest_wait=0.4, steady=60, look_again=0.1
)


@dataclass
class Studio:
    """What an ingest stands in, and what it did there."""

    desk: Desk
    database: Database
    sandbox: Sandbox
    valkey: Valkey
    symbols: list[str] = field(default_factory=lambda: [BITCOIN])
    news: int = 0

    @contextmanager
    def ingesting(self, *, life_s: float = 10) -> Iterator[None]:
        """Run an ingest in a thread of its own."""
        stop, cache = threading.Event(), redis.connect(self.valkey.url(2))
        ingest = Ingest(
            self.desk,
            url=f"{self.sandbox.websocket_url}?token=the-key-that-nobody-may-see",
            lease=Lease(cache, name="stream", life_s=life_s),
            list_symbols=lambda: list(self.symbols),
            on_news=self._count,
            on_turn=lambda: None,
            watch=StreamWatch(Signs(cache, TRADES), Tally(cache), name="here:1"),
            patience=HURRIED,
        )
        thread = threading.Thread(target=ingest.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)
        assert not thread.is_alive()

    def poll(self, *symbols: str) -> None:
        """Have the quotes that ticks build on."""
        wants = [Want(Kind.QUOTE, symbol).text for symbol in symbols]
        self.desk.wanted.add(wants, lane=Lane.INTERACTIVE)
        drain(self.desk)

    def count(self, symbol: str) -> int:
        """Count the stored quotes of a symbol."""
        with self.database.reads() as session:
            query = sa.select(sa.func.count()).where(Quote.symbol == symbol)
            return session.scalars(query.select_from(Quote)).one()

    def grows(self, symbol: str, *, by: int = 3) -> None:
        """Wait until so many more quotes are stored."""
        before = self.count(symbol)
        eventually(lambda: self.count(symbol) >= before + by)

    def told(self) -> StreamState:
        """Read what it tells of its connections."""
        return stream_watch.read(redis.connect(self.valkey.url(2)))

    def _count(self) -> None:
        self.news += 1


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def studio(desk: Desk, database: Database, sandbox: Sandbox, valkey: Valkey) -> Studio:
    return Studio(desk, database, sandbox, valkey)


def test_trades_become_quotes_events_and_answers_four_times_a_second_at_most(
    studio: Studio,
) -> None:
    studio.poll(BITCOIN)
    began_s = time.monotonic()

    with studio.ingesting():
        studio.grows(BITCOIN, by=6)

    took_s = time.monotonic() - began_s
    with studio.database.reads() as session:
        quotes = session.scalars(
            sa.select(Quote).where(Quote.symbol == BITCOIN).order_by(Quote.provider_time)
        ).all()
        events = session.scalars(
            sa.select(Event).where(Event.subject == f"quotes/{BITCOIN}").order_by(Event.version)
        ).all()
    cached = studio.desk.cache.find(f"market:answer:quote {BITCOIN}")
    assert [event.version for event in events] == list(range(1, len(quotes) + 1))
    # The first event is that of the poll; each connection tells one trade at once.
    assert len(events) - 1 <= studio.told().connections + 4 * took_s
    assert cached is not None
    assert cached["c"] == float(quotes[-1].price)
    assert {quote.previous_close for quote in quotes} == {quotes[0].previous_close}
    assert all(quote.low <= quote.price <= quote.high for quote in quotes)
    assert studio.news >= 6
    assert studio.sandbox.calls("finnhub", path="/quote") == 1


def test_subscriptions_follow_the_watchlist(studio: Studio) -> None:
    studio.poll(BITCOIN, ETHER)

    with studio.ingesting():
        studio.grows(BITCOIN)
        studio.symbols = [ETHER]
        studio.grows(ETHER)
        after = studio.count(BITCOIN)
        studio.grows(ETHER)

        assert studio.count(BITCOIN) == after


def test_line_on_which_nothing_trades_is_opened_again(studio: Studio, logs: Logs) -> None:
    studio.poll(BITCOIN)
    studio.sandbox.fault("finnhub", "ws_silent")

    with studio.ingesting():
        eventually(lambda: studio.sandbox.struck("finnhub", "ws_silent") > 0)
        eventually(lambda: _why(logs)["no trades"])
        studio.sandbox.clear_faults("finnhub")
        studio.grows(BITCOIN)


def test_server_that_dies_is_come_back_to(studio: Studio, logs: Logs) -> None:
    studio.poll(BITCOIN)

    with studio.ingesting():
        studio.grows(BITCOIN)
        eventually(lambda: studio.told().is_connected)
        studio.sandbox.child.kill_hard()
        lost = sum(_why(logs).values())
        eventually(lambda: sum(_why(logs).values()) >= lost + 2)
        eventually(lambda: studio.told().is_connected is False)
        deaf = studio.told()
        studio.sandbox.restart()
        studio.grows(BITCOIN)

    assert "nobody-may-see" not in str(logs)
    # A slow machine may have had to connect once more.
    assert studio.told().connections >= 2
    assert studio.told().trades >= 6
    assert studio.told().messages > deaf.messages >= 1


def test_one_of_two_connects_and_the_other_takes_over(studio: Studio) -> None:
    studio.poll(BITCOIN)

    with studio.ingesting():
        studio.grows(BITCOIN)
        with studio.valkey.client(2) as client:
            holder = client.get("lease:stream")
            with studio.ingesting():
                studio.grows(BITCOIN)
                assert client.get("lease:stream") == holder
            client.delete("lease:stream")
    with studio.ingesting():
        studio.grows(BITCOIN)


def test_without_redis_the_line_is_closed_when_the_lease_is_over(
    studio: Studio, logs: Logs
) -> None:
    studio.poll(BITCOIN)

    with studio.ingesting(life_s=1):
        studio.grows(BITCOIN)
        studio.valkey.kill()
        eventually(lambda: _why(logs)["the lease is another's"])
        studio.valkey.start()
        studio.grows(BITCOIN)


def _why(logs: Logs) -> Counter[str]:
    """Count why lines were lost."""
    return Counter(line["why"] for line in logs if line["event"] == "stream_lost")


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def tick(price: str, at: datetime, *, symbol: str = BITCOIN) -> Tick:
    figure = Decimal(price)
    return Tick(symbol, figure, figure + 1, figure - 1, at)


def saved(database: Database, *told: Tick) -> list[dict[str, object]]:
    now = max(one.at for one in told)
    found = transact(
        database.sessions,
        lambda session: ticks.save(session, told, source="simulated", now=now),
    )
    return [one.document for one in found]


def test_tick_moves_the_quote_of_its_day(each_database: Database) -> None:
    store_quotes(each_database, BITCOIN, [(NOON, "100")])

    (shown,) = saved(each_database, tick("103.5", NOON + timedelta(milliseconds=250)))

    assert [str(shown[key]) for key in ("as_of", "t")] == [
        "2026-11-20T12:00:00.250000Z",
        str(int(NOON.timestamp())),
    ]
    with each_database.reads() as session:
        quote = session.scalars(sa.select(Quote).order_by(Quote.provider_time.desc())).first()
    assert quote is not None
    figures = (quote.price, quote.high, quote.low, quote.open, quote.previous_close)
    assert [str(figure) for figure in figures] == ["103.5", "104.5", "100", "100", "100"]
    assert (str(quote.change), str(quote.change_percent)) == ("3.5", "3.5000")


@pytest.mark.parametrize(
    "told",
    [
        tick("100", NOON + timedelta(days=1)),
        tick("501", NOON + timedelta(seconds=1)),
        tick("19", NOON + timedelta(seconds=1)),
        tick("100", NOON - timedelta(seconds=20)),
        tick("100", NOON + timedelta(seconds=1), symbol=ETHER),
    ],
    ids=["another day", "far above", "far below", "old", "never polled"],
)
def test_tick_that_goes_with_no_quote_is_left_to_polling(database: Database, told: Tick) -> None:
    store_quotes(database, BITCOIN, [(NOON, "100")])

    assert saved(database, told) == []
    with database.reads() as session:
        fetched_at = session.get_one(Instrument, BITCOIN).fetched_at
    assert fetched_at == NOON
