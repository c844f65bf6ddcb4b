from api.event_feed import Feed, Wish
from infra.db import Database
from infra.events.cursor import Position
from infra.events.entries import Entry
from infra.events.fanout import Subscriber
from infra.events.history import History

START = {"products": Position(1, 0)}


def entry(seq: int, kind: str) -> Entry:
    return Entry("products", Position(1, seq), kind, "stock/7", seq, {}, b"{}")


async def shown(database: Database, *, place_every_s: float) -> list[bytes]:
    """Let two events pass that nobody wants, then one that is wanted."""
    subscriber = Subscriber(History(database.reads), dict(START), START)
    wish = Wish(None, types=frozenset({"stock.low"}))
    feed = Feed(subscriber, wish, place_every_s=place_every_s)
    for seq, kind in enumerate(("stock.changed", "stock.changed", "stock.low"), start=1):
        subscriber.offer(entry(seq, kind))
    chunks: list[bytes] = []
    async for chunk in feed.chunks([]):
        chunks += [part for part in chunk.split(b"\n\n") if part]
        if b"stock.low" in chunk:
            break
    return chunks


async def test_cursor_keeps_up_while_nothing_passes_the_filter(sqlite_database: Database) -> None:
    chunks = await shown(sqlite_database, place_every_s=0)

    assert chunks[1:] == [
        b"event: place\nid: products:1-1\ndata: {}",
        b"event: place\nid: products:1-2\ndata: {}",
        b"event: stock.low\nid: products:1-3\ndata: {}",
    ]


async def test_what_does_not_pass_is_mostly_not_told(sqlite_database: Database) -> None:
    chunks = await shown(sqlite_database, place_every_s=60)

    assert [chunk.splitlines()[0] for chunk in chunks] == [b"event: ready", b"event: stock.low"]
