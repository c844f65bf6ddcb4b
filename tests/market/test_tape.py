import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from market.tape import Coalescer, Heard, Tick, Trade, parse_message
from market.upstream import BadAnswer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


def trade(price: str, *, ms: int = 0, symbol: str = "AAPL") -> Trade:
    return Trade(symbol, Decimal(price), NOON + timedelta(milliseconds=ms))


def sent(**fields: object) -> str:
    item = {"p": 7296.89, "s": "AAPL", "t": NOON_MS, "v": 0.01, "c": ["1"], **fields}
    return json.dumps({"type": "trade", "data": [item]})


def test_trades_are_read_with_all_their_digits() -> None:
    text = (
        f'{{"type":"trade","data":[{{"p":7296.8900000000000001,"s":"AAPL","t":{NOON_MS},"v":0}},'
        f'{{"p":1,"s":"MSFT","t":{NOON_MS + 1},"v":2,"c":null}}]}}'
    )

    heard = parse_message(text)

    assert heard.trades == (
        trade("7296.8900000000000001"),
        trade("1", ms=1, symbol="MSFT"),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"p": 0},
        {"p": -1},
        {"p": "7296"},
        {"p": True},
        {"p": None},
        {"p": 10**19},
        {"s": None},
        {"t": 0},
        {"t": 1.5},
        {"t": 10**15},
    ],
)
def test_trade_that_cannot_be_true_is_left_out(fields: dict[str, object]) -> None:
    assert parse_message(sent(**fields)) == Heard()


def test_number_that_would_fill_the_memory_is_left_out() -> None:
    text = sent(p=1).replace('"p": 1,', '"p": 1e-999999999,')

    assert parse_message(text) == Heard()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "NaN"])
def test_what_is_no_message_is_a_bad_answer(text: str) -> None:
    with pytest.raises(BadAnswer):
        parse_message(text)


def test_ping_and_complaint_are_told_apart() -> None:
    assert parse_message('{"type":"ping"}') == Heard()
    assert parse_message('{"type":"error","msg":"Invalid symbol"}').complaint == "Invalid symbol"


def test_many_trades_are_one_tick_with_their_range() -> None:
    coalescer = Coalescer()
    for ms, price in enumerate(["10", "12", "9", "11"]):
        coalescer.take(trade(price, ms=ms))

    (tick,) = coalescer.take_due(0)

    assert tick == Tick(
        "AAPL", Decimal(11), Decimal(12), Decimal(9), NOON + timedelta(milliseconds=3)
    )
    assert coalescer.take_due(10) == []


def test_a_symbol_is_told_at_most_four_times_a_second() -> None:
    coalescer = Coalescer()
    told = []
    for ms in range(0, 1000, 10):
        coalescer.take(trade("10", ms=ms))
        told += [ms for _ in coalescer.take_due(ms / 1000)]

    assert told == [0, 250, 500, 750]


def test_symbols_are_told_each_in_its_own_time() -> None:
    coalescer = Coalescer()
    coalescer.take(trade("10"))
    coalescer.take_due(0)
    coalescer.take(trade("11", ms=1))
    coalescer.take(trade("20", symbol="MSFT"))

    assert [tick.symbol for tick in coalescer.take_due(0.1)] == ["MSFT"]
    assert [tick.symbol for tick in coalescer.take_due(0.3)] == ["AAPL"]


@pytest.mark.parametrize("ms", [-1, 0])
def test_trade_that_was_told_or_is_older_is_no_news(ms: int) -> None:
    coalescer = Coalescer()
    coalescer.take(trade("10"))
    coalescer.take_due(0)

    coalescer.take(trade("9", ms=ms))

    assert coalescer.take_due(1) == []


def test_what_was_given_back_is_told_with_what_came_since() -> None:
    coalescer = Coalescer()
    coalescer.take(trade("15"))
    told = coalescer.take_due(0)
    coalescer.take(trade("10", ms=1))

    coalescer.give_back(told)

    (tick,) = coalescer.take_due(1)
    assert [int(tick.price), int(tick.high), int(tick.low)] == [10, 15, 10]
