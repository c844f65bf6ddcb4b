"""The websocket: trades for subscribers, one connection per key, silence on demand."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming, Stage

Opening = Callable[[], AbstractContextManager[ClientConnection]]
PATIENT_S = 60.0


@pytest.fixture
def open_tape(stage: "Stage") -> Opening:
    url = f"ws://127.0.0.1:{stage.ports['finnhub']}/?token={secrets.token_hex(8)}"
    return lambda: connect(url, proxy=None, open_timeout=PATIENT_S)


@pytest.fixture
def tape(open_tape: Opening) -> Iterator[ClientConnection]:
    with open_tape() as connection:
        yield connection


def say(tape: ClientConnection, **message: object) -> None:
    tape.send(json.dumps(message))


def next_of(tape: ClientConnection, kind: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENT_S
    while time.monotonic() < deadline:
        message: dict[str, Any] = json.loads(tape.recv(timeout=PATIENT_S))
        if message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} came")


def test_subscriber_sees_trades_of_its_symbols(tape: ClientConnection) -> None:
    began_s = time.time()
    say(tape, type="subscribe", symbol="AAPL")
    say(tape, type="subscribe", symbol="BINANCE:BTCUSDT")

    trades = [trade for _ in range(6) for trade in next_of(tape, "trade")["data"]]

    assert {trade["s"] for trade in trades} == {"AAPL", "BINANCE:BTCUSDT"}
    assert all(began_s - 1 <= trade["t"] / 1000 <= time.time() for trade in trades)
    assert all(trade["p"] > 0 and trade["v"] >= 0 for trade in trades)


def test_trades_agree_with_the_quote(tape: ClientConnection, finnhub: httpx.Client) -> None:
    say(tape, type="subscribe", symbol="BINANCE:ETHUSDT")
    (trade,) = next_of(tape, "trade")["data"]

    quote = finnhub.get("/api/v1/quote?symbol=BINANCE:ETHUSDT").json()

    assert trade["p"] == pytest.approx(quote["c"], rel=0.01)


def test_pings_come_without_a_subscription(tape: ClientConnection) -> None:
    assert next_of(tape, "ping") == {"type": "ping"}


def test_unsubscribed_symbol_trades_no_more(tape: ClientConnection) -> None:
    say(tape, type="subscribe", symbol="AAPL")
    next_of(tape, "trade")

    say(tape, type="unsubscribe", symbol="AAPL")
    say(tape, type="subscribe", symbol="NOPE")
    next_of(tape, "error")
    say(tape, type="subscribe", symbol="MSFT")

    trades = [trade for _ in range(3) for trade in next_of(tape, "trade")["data"]]

    assert {trade["s"] for trade in trades} == {"MSFT"}


@pytest.mark.parametrize(
    "message", ["", "{", "[]", "null", '{"type": "buy", "symbol": "AAPL"}', '{"type": "subscribe"}']
)
def test_message_nobody_understands_is_an_error(tape: ClientConnection, message: str) -> None:
    tape.send(message)

    assert next_of(tape, "error")["msg"]


def test_unknown_symbol_is_an_error(tape: ClientConnection) -> None:
    say(tape, type="subscribe", symbol="NOPE")

    assert next_of(tape, "error") == {"type": "error", "msg": "Invalid symbol NOPE"}


def test_second_connection_of_a_key_ends_the_first(open_tape: Opening) -> None:
    with open_tape() as first, open_tape() as second:
        with pytest.raises(ConnectionClosed):
            next_of(first, "trade")

        say(second, type="subscribe", symbol="AAPL")
        assert next_of(second, "trade")


def test_silent_symbol_trades_no_more_while_others_do(
    tape: ClientConnection, finnhub: httpx.Client, arm: "Arming"
) -> None:
    arm(finnhub, "ws_silent", match={"symbol": "AAPL"})
    say(tape, type="subscribe", symbol="AAPL")
    say(tape, type="subscribe", symbol="MSFT")

    trades = [trade for _ in range(5) for trade in next_of(tape, "trade")["data"]]

    assert {trade["s"] for trade in trades} == {"MSFT"}
    assert finnhub.get("/admin/faults").json()["struck"]["ws_silent"] > 0


def test_closed_exchange_trades_no_stocks(tape: ClientConnection, finnhub: httpx.Client) -> None:
    finnhub.post("/admin/market", json={"hours": "closed"})
    say(tape, type="subscribe", symbol="AAPL")
    say(tape, type="subscribe", symbol="OANDA:EUR_USD")

    trades = [trade for _ in range(5) for trade in next_of(tape, "trade")["data"]]

    assert {trade["s"] for trade in trades} == {"OANDA:EUR_USD"}


@pytest.mark.parametrize(("path", "status"), [("/", 401), ("/?token=", 401), ("/x?token=k", 404)])
def test_connection_without_a_key_is_refused(stage: "Stage", path: str, status: int) -> None:
    url = f"ws://127.0.0.1:{stage.ports['finnhub']}{path}"

    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None, open_timeout=PATIENT_S):
        pass

    assert refused.value.response.status_code == status
