"""The streams: compare-and-add lets nobody in at the wrong place."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis

from infra.outbox import Numbered
from infra.redis import RedisDown, connect
from infra.streams import ABSENT, Streams, entry_fields, parse_id, stream_key
from tests.support.invariants import read_stream
from tests.support.processes import eventually
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def event(seq: int, *, epoch: int = 1, topic: str = "orders") -> Numbered:
    return Numbered(topic, epoch, seq, "order.placed", f"orders/{seq}", 1, NOON, "{}")


def test_stream_that_is_not_there_is_absent(streams: Streams) -> None:
    tip = streams.tips(["orders"])["orders"]

    assert tip.last_id == ABSENT
    assert not tip.is_foreign


def test_tip_tells_last_id_and_newest_entry(streams: Streams) -> None:
    streams.append("orders", after=ABSENT, events=[event(1), event(2)])

    tip = streams.tips(["orders"])["orders"]

    assert (tip.last_id, tip.epoch, tip.seq) == ("1-2", 1, 2)
    assert tip.shows(event(2))
    assert not tip.shows(event(1))


def test_tips_of_many_topics_are_told_apart(streams: Streams) -> None:
    streams.append("payments", after=ABSENT, events=[event(1, topic="payments")])

    tips = streams.tips(["orders", "payments"])

    assert (tips["orders"].last_id, tips["payments"].last_id) == (ABSENT, "1-1")


def test_entry_that_claims_another_topic_is_foreign(streams: Streams, plain: "redis.Redis") -> None:
    entry_id, *flat = entry_fields(event(1, topic="payments"))
    plain.xadd("events:orders", dict(zip(flat[::2], flat[1::2], strict=True)), id=entry_id)

    assert streams.tips(["orders"])["orders"].is_foreign


@pytest.mark.parametrize("kind", ["string", "list"])
def test_floor_that_somebody_else_wrote_is_none(
    streams: Streams, plain: "redis.Redis", kind: str
) -> None:
    plain.xadd("events:orders", {"id": "1-7"}, id="1-7")
    if kind == "list":
        plain.rpush("stream-floor:orders", "1-1")
    else:
        plain.set("stream-floor:orders", "none")

    tip = streams.tips(["orders"])["orders"]

    assert (tip.last_id, tip.floor, tip.missing) == ("1-7", "", 0)


def test_key_of_another_type_is_foreign(streams: Streams, plain: "redis.Redis") -> None:
    plain.lpush("events:orders", "x")

    assert streams.tips(["orders"])["orders"].is_foreign


def test_adding_behind_another_id_changes_nothing(streams: Streams) -> None:
    streams.append("orders", after=ABSENT, events=[event(1)])

    assert not streams.append("orders", after="1-5", events=[event(6)])
    assert not streams.append("orders", after=ABSENT, events=[event(2)])

    assert streams.length("orders") == 1


def test_adding_twice_adds_once(streams: Streams) -> None:
    streams.append("orders", after=ABSENT, events=[event(1)])
    streams.append("orders", after="1-1", events=[event(2)])

    again = streams.append("orders", after="1-1", events=[event(2)])

    assert not again
    assert streams.length("orders") == 2


def test_adding_behind_a_stream_that_was_flushed_changes_nothing(
    streams: Streams, plain: "redis.Redis"
) -> None:
    streams.append("orders", after=ABSENT, events=[event(1)])
    plain.flushall()

    assert not streams.append("orders", after="1-1", events=[event(2)])

    assert plain.exists("events:orders") == 0


def test_next_epoch_goes_behind_the_one_before(streams: Streams) -> None:
    streams.append("orders", after=ABSENT, events=[event(1), event(2)])

    added = streams.append("orders", after="1-2", events=[event(2, epoch=2)])

    assert added
    assert streams.tips(["orders"])["orders"].last_id == "2-2"


def test_stream_that_moved_on_is_not_started_anew(streams: Streams) -> None:
    streams.append("orders", after=ABSENT, events=[event(1), event(2)])

    assert streams.start("orders", at="1-1", first=(1, 1), last_of_ours="1-2") is None

    assert streams.length("orders") == 2


def test_started_stream_is_empty_and_takes_its_first_entry_next(streams: Streams) -> None:
    streams.append("orders", after=ABSENT, events=[event(1), event(2)])

    streams.start("orders", at="1-2", first=(1, 2), last_of_ours="1-2")

    assert streams.tips(["orders"])["orders"].last_id == "1-1"
    assert streams.append("orders", after="1-1", events=[event(2)])


def test_scripts_survive_their_loss(streams: Streams, plain: "redis.Redis") -> None:
    streams.append("orders", after=ABSENT, events=[event(1)])
    plain.script_flush()

    assert streams.append("orders", after="1-1", events=[event(2)])


def test_lost_answer_leaves_the_truth_in_the_last_id(
    valkey: Valkey, proxy_to: Callable[[int], Proxy], streams: Streams
) -> None:
    proxy = proxy_to(valkey.port)
    through = connect(proxy.url(valkey.url()))
    cut = Streams(through)
    cut.append("payments", after=ABSENT, events=[event(1)])  # the server knows the script now
    proxy.cut_at(b"orders/1")

    with pytest.raises(RedisDown):
        cut.append("orders", after=ABSENT, events=[event(1)])

    through.close()
    assert eventually(lambda: streams.tips(["orders"])["orders"].last_id) == "1-1"


def test_payload_of_any_text_comes_back_as_it_was(streams: Streams, plain: "redis.Redis") -> None:
    text = '{"name":"Ž\\u0000\\r\\n😀","quote":"\\""}'

    streams.append("orders", after=ABSENT, events=[replace(event(1), data=text)])

    assert read_stream(plain, "orders")[0].fields["data"] == text


def test_stream_is_found_under_its_topic() -> None:
    assert stream_key("market.quotes") == "events:market.quotes"


@pytest.mark.parametrize(
    "text", ["", "1", "-", "1-", "-1", "a-1", "1-b", "+1-2", "1-2-3", "\u0661-\u0662"]
)
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_id(text)


def test_id_is_read_as_two_numbers() -> None:
    assert parse_id("2-17") == (2, 17)
