"""What every data endpoint of Finnhub answers."""

import asyncio
import time
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Self

from sandbox.faults import FaultBook
from sandbox.finnhub import candles, reference
from sandbox.finnhub.exchange import NEW_YORK, Exchange, Hours, Session, list_holidays
from sandbox.finnhub.instruments import (
    US,
    Company,
    Instrument,
    Kind,
    list_instruments,
    load_companies,
)
from sandbox.finnhub.news import CATEGORIES, Newsroom
from sandbox.finnhub.prices import Market
from sandbox.standin import Handler, Routes
from sandbox.wire import Answer, Refusal, Request, json_answer

_NO_QUOTE = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
_VENUES = {Kind.FOREX: "oanda", Kind.CRYPTO: "binance"}
_LONGEST_INT = 18


@dataclass(frozen=True, slots=True)
class World:
    """Everything that can be asked about, built from one seed."""

    seed: int
    companies: dict[str, Company]
    instruments: dict[str, Instrument]
    market: Market
    exchange: Exchange
    newsroom: Newsroom

    @classmethod
    def of(cls, seed: int) -> Self:
        """Build the world that a seed implies."""
        companies = load_companies()
        return cls(
            seed=seed,
            companies=companies,
            instruments=list_instruments(companies),
            market=Market(seed=seed),
            exchange=Exchange(),
            newsroom=Newsroom(seed=seed, companies=companies),
        )


class Endpoints:
    """Answers the data endpoints from a world; an armed `zeros` makes any symbol unknown."""

    def __init__(self, world: World, book: FaultBook) -> None:
        self._world = world
        self._book = book

    def routes(self) -> Routes:
        """Return the handlers by path; every call is a GET."""
        handlers: dict[str, Handler] = {
            "/quote": self._quote,
            "/stock/profile2": self._profile,
            "/stock/peers": self._peers,
            "/stock/metric": self._metric,
            "/stock/symbol": self._stock_symbols,
            "/stock/market-status": self._market_status,
            "/stock/market-holiday": self._market_holidays,
            "/stock/candle": self._candles_of(Kind.STOCK),
            "/company-news": self._company_news,
            "/news": self._market_news,
            "/search": self._search,
            "/forex/rates": self._forex_rates,
            "/forex/exchange": self._venues_of(Kind.FOREX),
            "/forex/symbol": self._symbols_of(Kind.FOREX),
            "/forex/candle": self._candles_of(Kind.FOREX),
            "/crypto/profile": self._crypto_profile,
            "/crypto/exchange": self._venues_of(Kind.CRYPTO),
            "/crypto/symbol": self._symbols_of(Kind.CRYPTO),
            "/crypto/candle": self._candles_of(Kind.CRYPTO),
            "/calendar/earnings": self._earnings,
            "/calendar/ipo": self._ipos,
            "/country": self._countries,
        }
        return {path: {"GET": handler} for path, handler in handlers.items()}

    async def _quote(self, request: Request) -> Answer:
        instrument = self._find_instrument(request)
        if instrument is None:
            return json_answer(_NO_QUOTE)
        at = self._world.exchange.last_trade_at(instrument.kind, time.time())
        if fault := self._book.take(("stale_time",), request.fields):
            at += fault.offset_s
        return json_answer(self._world.market.quote(instrument, at=at).public())

    async def _profile(self, request: Request) -> Answer:
        company = self._find_company(request)
        if company is None:
            return json_answer({})
        return json_answer(reference.profile(company, price=self._price(company.ticker)))

    async def _peers(self, request: Request) -> Answer:
        company = self._find_company(request)
        companies = self._world.companies.values()
        return json_answer([] if company is None else reference.peers(company, companies))

    async def _metric(self, request: Request) -> Answer:
        company = self._find_company(request)
        if company is None:
            return json_answer({"metric": {}, "metricType": "all", "series": {}, "symbol": ""})
        price = self._price(company.ticker)
        return json_answer(reference.metric(company, price=price, seed=self._world.seed))

    async def _stock_symbols(self, request: Request) -> Answer:
        _check_us(request)
        instruments, companies = self._world.instruments, self._world.companies.values()
        return json_answer(
            [reference.stock_row(instruments[company.ticker], company) for company in companies]
        )

    async def _market_status(self, request: Request) -> Answer:
        _check_us(request)
        now = time.time()
        session = self._world.exchange.session(now)
        status = {
            "exchange": US,
            "holiday": self._world.exchange.holiday(now),
            "isOpen": session is Session.REGULAR,
            "session": session,
            "timezone": NEW_YORK.key,
            "t": int(now),
        }
        return json_answer(status)

    async def _market_holidays(self, request: Request) -> Answer:
        _check_us(request)
        year = time.gmtime().tm_year
        found = [*list_holidays(year - 1), *list_holidays(year), *list_holidays(year + 1)]
        data = [holiday.public() for holiday in reversed(found)]
        return json_answer({"data": data, "exchange": US, "timezone": NEW_YORK.key})

    async def _company_news(self, request: Request) -> Answer:
        first, last = _read_date(request, "from"), _read_date(request, "to")
        company = self._find_company(request)
        if company is None:
            return json_answer([])
        found = self._world.newsroom.about(
            company,
            first=first,
            last=last,
            now=time.time(),
        )
        return json_answer(found)

    async def _market_news(self, request: Request) -> Answer:
        category = _required(request, "category")
        if category not in CATEGORIES:
            raise _invalid("category")
        after_id = _read_int(request, "minId") if "minId" in request.query else 0
        found = self._world.newsroom.latest(category, after_id=after_id, now=time.time())
        return json_answer(found)

    async def _search(self, request: Request) -> Answer:
        query = _required(request, "q")
        return json_answer(reference.search(query, self._world.instruments.values()))

    async def _forex_rates(self, request: Request) -> Answer:
        base = request.query.get("base", "EUR")
        dollars = self._dollars_by_currency()
        if base not in dollars or self._book.take(("zeros",), request.fields):
            return json_answer({"base": base, "quote": {}})
        quote = {
            currency: 1 if currency == base else round(dollars[base] / worth, 6)
            for currency, worth in sorted(dollars.items())
        }
        return json_answer({"base": base, "quote": quote})

    async def _crypto_profile(self, request: Request) -> Answer:
        name = _required(request, "symbol")
        instrument = self._world.instruments.get(f"BINANCE:{name}USDT")
        if instrument is None:
            return json_answer({})
        return json_answer(
            reference.crypto_profile(instrument, price=self._price(instrument.symbol))
        )

    async def _earnings(self, request: Request) -> Answer:
        companies, seed = self._world.companies.values(), self._world.seed
        if symbol := request.query.get("symbol"):
            companies_asked = [it for it in companies if it.ticker == symbol]
        else:
            companies_asked = list(companies)
        first, last = _read_date(request, "from"), _read_date(request, "to")
        if last.year - first.year > 1:
            raise _invalid("from")
        return json_answer(reference.earnings(companies_asked, first=first, last=last, seed=seed))

    async def _ipos(self, request: Request) -> Answer:
        _read_date(request, "from")
        _read_date(request, "to")
        return json_answer({"ipoCalendar": []})

    async def _countries(self, _request: Request) -> Answer:
        return json_answer(reference.countries())

    def _venues_of(self, kind: Kind) -> Handler:
        async def venues(_request: Request) -> Answer:
            return json_answer([_VENUES[kind]])

        return venues

    def _symbols_of(self, kind: Kind) -> Handler:
        async def symbols(request: Request) -> Answer:
            if _required(request, "exchange").lower() != _VENUES[kind]:
                return json_answer([])
            of_kind = (it for it in self._world.instruments.values() if it.kind is kind)
            return json_answer([reference.symbol_row(instrument) for instrument in of_kind])

        return symbols

    def _candles_of(self, kind: Kind) -> Handler:
        async def cut(request: Request) -> Answer:
            resolution = _required(request, "resolution")
            if resolution not in (*candles.MINUTES, *candles.LONG):
                raise _invalid("resolution")
            last = min(_read_int(request, "to"), int(time.time()))
            span = candles.Span(first=_read_int(request, "from"), last=last)
            instrument = self._find_instrument(request)
            bars: dict[str, object] = dict(candles.NO_DATA)
            if instrument is not None and instrument.kind is kind:
                bars = await self._cut(instrument, resolution, span)
            if request.query.get("format") == "csv":
                return Answer(200, candles.as_csv(bars).encode(), "text/csv")
            return json_answer(bars)

        return cut

    async def _cut(
        self, instrument: Instrument, resolution: str, span: candles.Span
    ) -> dict[str, object]:
        # A month of minutes takes long enough to hold up every other caller, and a thread needs a
        # market of its own: walks are not shared between threads.
        return await asyncio.to_thread(
            candles.cut,
            Market(seed=self._world.seed),
            instrument,
            resolution=resolution,
            span=span,
            is_traded=partial(self._has_traded, instrument.kind),
        )

    def _has_traded(self, kind: Kind, at: int) -> bool:
        # An exchange that was closed by hand was open before.
        exchange = self._world.exchange
        return exchange.hours is not Hours.CLOCK or exchange.is_trading(kind, at)

    def _find_instrument(self, request: Request) -> Instrument | None:
        symbol = _required(request, "symbol")
        if self._book.take(("zeros",), request.fields):
            return None
        return self._world.instruments.get(symbol)

    def _find_company(self, request: Request) -> Company | None:
        instrument = self._find_instrument(request)
        return None if instrument is None else self._world.companies.get(instrument.symbol)

    def _price(self, symbol: str) -> float:
        return self._world.market.price(self._world.instruments[symbol], at=time.time())

    def _dollars_by_currency(self) -> dict[str, float]:
        dollars = {"USD": 1.0}
        for instrument in self._world.instruments.values():
            first, _, second = instrument.display.partition("/")
            if instrument.kind is Kind.FOREX and second == "USD":
                dollars[first] = self._price(instrument.symbol)
            if instrument.kind is Kind.FOREX and first == "USD":
                dollars[second] = 1 / self._price(instrument.symbol)
        return dollars


def _required(request: Request, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        raise Refusal(422, "missing_parameter", f"Missing parameter: {name}.")
    return value


def _read_date(request: Request, name: str) -> date:
    try:
        return reference.read_date(_required(request, name))
    except ValueError as error:
        raise _invalid(name) from error


def _read_int(request: Request, name: str) -> int:
    text = _required(request, name)
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_INT):
        raise _invalid(name)
    return int(text)


def _check_us(request: Request) -> None:
    if _required(request, "exchange") != US:
        raise _invalid("exchange")


def _invalid(name: str) -> Refusal:
    return Refusal(422, "invalid_parameter", f"Invalid parameter: {name}.")
