"""The websocket: trades of subscribed symbols several times a second, and pings."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from random import Random
from urllib.parse import parse_qsl

import orjson

from sandbox.faults import FaultBook
from sandbox.finnhub.exchange import Exchange
from sandbox.finnhub.instruments import Instrument, Kind
from sandbox.finnhub.prices import Market
from sandbox.wire import Receive, Scope, Send

TICK_S = 0.2
PING_S = 10.0
MOST_SYMBOLS = 50
REPLACED = 1008
_TRADE_CHANCE = 0.7
_PRICE_UPDATE_CHANCE = 0.05
_DENIAL = "websocket.http.response"


class Tape:
    """Serves trades to one connection per key: a second connection ends the first."""

    def __init__(
        self,
        *,
        market: Market,
        instruments: Mapping[str, Instrument],
        exchange: Exchange,
        book: FaultBook,
    ) -> None:
        self._market = market
        self._instruments = instruments
        self._exchange = exchange
        self._book = book
        self._random = Random()
        self._replaced: dict[str, asyncio.Event] = {}

    async def talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket connection."""
        await receive()
        key = _key(scope)
        if scope["path"] != "/" or not key:
            await _deny(send, 401 if scope["path"] == "/" else 404)
            return
        await send({"type": "websocket.accept"})
        if key in self._replaced:
            self._replaced[key].set()
        replaced = self._replaced[key] = asyncio.Event()
        try:
            await self._serve(receive, send, replaced)
        finally:
            if self._replaced.get(key) is replaced:
                del self._replaced[key]

    async def _serve(self, receive: Receive, send: Send, replaced: asyncio.Event) -> None:
        symbols: set[str] = set()
        listening = asyncio.ensure_future(self._listen(receive, send, symbols))
        telling = asyncio.ensure_future(self._tell(send, symbols))
        leaving = asyncio.ensure_future(replaced.wait())
        tasks = (listening, telling, leaving)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if replaced.is_set():
            # The server raises an OSError for a client that is no longer there.
            with contextlib.suppress(OSError):
                await send({"type": "websocket.close", "code": REPLACED, "reason": "replaced"})

    async def _listen(self, receive: Receive, send: Send, symbols: set[str]) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                self._obey(message.get("text") or message.get("bytes") or "", symbols)
            except _Complaint as complaint:
                await _send_json(send, {"type": "error", "msg": str(complaint)})

    def _obey(self, text: str | bytes, symbols: set[str]) -> None:
        wish, symbol = _read_wish(text)
        if wish == "unsubscribe":
            symbols.discard(symbol)
            return
        if symbol not in self._instruments:
            raise _Complaint(f"Invalid symbol {symbol[:64]}")
        if len(symbols) >= MOST_SYMBOLS and symbol not in symbols:
            raise _Complaint("Subscribing to too many symbols")
        symbols.add(symbol)

    async def _tell(self, send: Send, symbols: set[str]) -> None:
        ping_at = 0.0
        while True:
            if time.monotonic() >= ping_at:
                ping_at = time.monotonic() + PING_S
                await _send_json(send, {"type": "ping"})
            trades = list(self._trades(sorted(symbols)))
            if trades:
                await _send_json(send, {"type": "trade", "data": trades})
            await asyncio.sleep(TICK_S * self._random.uniform(0.5, 1.5))

    def _trades(self, symbols: list[str]) -> Iterator[dict[str, object]]:
        now = time.time()
        for symbol in symbols:
            instrument = self._instruments[symbol]
            is_quiet = self._random.random() >= _TRADE_CHANCE
            is_open = self._exchange.is_trading(instrument.kind, now)
            if is_quiet or not is_open or self._is_silenced(symbol):
                continue
            yield self._trade(instrument, now)

    def _trade(self, instrument: Instrument, now: float) -> dict[str, object]:
        is_price_update = self._random.random() < _PRICE_UPDATE_CHANCE
        volume = 0.0 if is_price_update else round(self._random.expovariate(0.05), 5)
        trade: dict[str, object] = {
            "p": self._market.price(instrument, at=now),
            "s": instrument.symbol,
            "t": int(now * 1000),
            "v": volume,
        }
        if instrument.kind is Kind.STOCK:
            trade["c"] = ["1", "8"]
        elif instrument.kind is Kind.CRYPTO:
            trade["c"] = None
        return trade

    def _is_silenced(self, symbol: str) -> bool:
        fault = self._book.take(("ws_silent",), lambda: {"symbol": symbol, "path": "/"})
        return fault is not None


class _Complaint(Exception):
    """What the client did wrong, in the words it is told."""


def _read_wish(text: str | bytes) -> tuple[str, str]:
    try:
        wish = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _Complaint("Invalid JSON") from error
    kind, symbol = (wish.get("type"), wish.get("symbol")) if isinstance(wish, dict) else ("", "")
    if kind not in {"subscribe", "unsubscribe"} or not isinstance(symbol, str):
        raise _Complaint("Invalid message")
    return str(kind), symbol


def _key(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    query: bytes = scope["query_string"]
    token = dict(parse_qsl(query.decode("latin-1"))).get("token", "")
    return token.strip() or headers.get(b"x-finnhub-token", b"").decode("latin-1").strip()


async def _deny(send: Send, status: int) -> None:
    await send({"type": f"{_DENIAL}.start", "status": status, "headers": []})
    await send({"type": f"{_DENIAL}.body", "body": b""})


async def _send_json(send: Send, content: object) -> None:
    await send({"type": "websocket.send", "text": orjson.dumps(content).decode()})
