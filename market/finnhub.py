"""Finnhub's HTTP interface: the only place that speaks it, and that holds the key.

Source: https://finnhub.io/docs/api and the facts its users report, 2026-11.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TypeVar

import httpx

from infra import http
from infra.logs import log
from market import reference_shapes, replies, shapes
from market.holidays import Holiday
from market.reference_shapes import Match, Status
from market.shapes import Article, Figures
from market.upstream import BadAnswer, FinnhubHiccup, FinnhubUnavailable

T = TypeVar("T")

# Below what an asker waits, so that he still hears that it failed.
CONNECT_TIMEOUT_S = 1.0
DEADLINE_S = 2.4
CONNECTIONS = 20
US = "US"


class Finnhub:
    """Finnhub over one key; safe for many threads. Nothing here counts calls: the budget does.

    A call takes `deadline_s` at most, or `within_s` for a caller who cannot wait that long. Every
    method raises:
        NoAccess: the key's plan does not include it.
        RateLimited: the provider asks for a pause.
        KeyRefused: it does not know the key.
        FinnhubHiccup: no connection, or a failure in between; the same call may be sent again.
        FinnhubUnavailable: no answer in time, or the provider's own failure.
        BadAnswer: an answer that cannot be true.
        UnknownSymbol: the provider knows nothing under that name.
    """

    def __init__(self, base_url: str, *, key: str, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._client = http.open_client(
            base_url,
            # A query parameter would end up in addresses, and these in exceptions and logs.
            headers={"X-Finnhub-Token": key},
            connect_timeout_s=CONNECT_TIMEOUT_S,
            read_timeout_s=deadline_s,
            connections=CONNECTIONS,
        )

    def quote(self, symbol: str, *, within_s: float = math.inf) -> Figures:
        """Fetch the present quote of a symbol of any class."""
        parse = partial(shapes.parse_quote, symbol=symbol)
        return self._get("/quote", {"symbol": symbol}, parse, within_s)

    def profile(self, symbol: str, *, within_s: float = math.inf) -> dict[str, object]:
        """Fetch a company's profile; market value and shares are in millions."""
        parse = partial(shapes.parse_profile, symbol=symbol)
        return self._get("/stock/profile2", {"symbol": symbol}, parse, within_s)

    def company_news(
        self, symbol: str, *, first: date, last: date, within_s: float = math.inf
    ) -> list[Article]:
        """Fetch a company's news of some days, both included; free keys reach one year back."""
        params = {"symbol": symbol, "from": first.isoformat(), "to": last.isoformat()}
        return self._get("/company-news", params, shapes.parse_news, within_s)

    def general_news(self, *, within_s: float = math.inf) -> list[Article]:
        """Fetch the latest news of no company in particular."""
        return self._get("/news", {"category": "general"}, shapes.parse_news, within_s)

    def forex_rates(self, base: str, *, within_s: float = math.inf) -> dict[str, Decimal]:
        """Fetch what one unit of a currency buys of others; a premium endpoint."""
        parse = partial(shapes.parse_rates, base=base)
        return self._get("/forex/rates", {"base": base}, parse, within_s)

    def forex_symbols(self, exchange: str, *, within_s: float = math.inf) -> list[Match]:
        """Fetch the currency pairs of an exchange, such as `oanda`."""
        params = {"exchange": exchange}
        return self._get("/forex/symbol", params, reference_shapes.parse_symbols, within_s)

    def crypto_symbols(self, exchange: str, *, within_s: float = math.inf) -> list[Match]:
        """Fetch the coins of an exchange, such as `binance`."""
        params = {"exchange": exchange}
        return self._get("/crypto/symbol", params, reference_shapes.parse_symbols, within_s)

    def search(self, query: str, *, within_s: float = math.inf) -> list[Match]:
        """Fetch the symbols whose name or description matches a text."""
        return self._get("/search", {"q": query}, reference_shapes.parse_search, within_s)

    def market_status(self, *, within_s: float = math.inf) -> Status:
        """Fetch what the exchanges of the United States are doing."""
        parse = partial(reference_shapes.parse_status, exchange=US)
        return self._get("/stock/market-status", {"exchange": US}, parse, within_s)

    def market_holidays(self, *, within_s: float = math.inf) -> list[Holiday]:
        """Fetch the holidays and early closes of the exchanges of the United States."""
        parse = partial(reference_shapes.parse_holidays, exchange=US)
        return self._get("/stock/market-holiday", {"exchange": US}, parse, within_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get(
        self, path: str, params: Mapping[str, str], parse: Callable[[object], T], within_s: float
    ) -> T:
        with _translated():
            reply = http.fetch(
                self._client, path, params=params, deadline_s=min(within_s, self._deadline_s)
            )
        replies.refuse_failure(reply, path)
        try:
            return parse(shapes.parse_json(reply.body))
        except BadAnswer as bad:
            log.warning("finnhub_answer_quarantined", path=path, params=params, why=bad.detail)
            raise


@contextmanager
def _translated() -> Iterator[None]:
    """Turn httpx' exceptions into ours, and let nothing of them through.

    `from None`: the exceptions carry the request, and its headers hold the key, which a traceback
    that shows local variables would print.
    """
    try:
        yield
    except http.AnswerTooLong:
        raise BadAnswer("it is too long") from None
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.RemoteProtocolError) as error:
        # Nothing was read: the server is not there, or closed a connection that lay idle.
        raise FinnhubHiccup(f"the call failed ({type(error).__name__})") from None
    except httpx.TimeoutException:
        raise FinnhubUnavailable("it did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FinnhubUnavailable(f"the call failed ({type(error).__name__})") from None
