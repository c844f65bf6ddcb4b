"""Finnhub's HTTP interface: the only place that speaks it, and that holds the key.

Source: https://finnhub.io/docs/api and the facts its users report, 2026-11.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import TypeVar

import httpx

from infra import http
from infra.http import Reply
from infra.logs import log
from market import shapes
from market.shapes import Article, Figures
from market.upstream import BadAnswer, FinnhubUnavailable, NoAccess, RateLimited

T = TypeVar("T")

# Together below what an asker waits, so that he still hears that it failed.
CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 2.4
DEADLINE_S = 2.4
CONNECTIONS = 20
_LONGEST_PAUSE_S = 60


class Finnhub:
    """Finnhub over one key; safe for many threads. Nothing here counts calls: the budget does.

    Every method raises:
        NoAccess: the key's plan does not include it.
        RateLimited: the provider asks for a pause.
        FinnhubUnavailable: no answer in time, a refused key, or the provider's own failure.
        BadAnswer: an answer that cannot be true.
        UnknownSymbol: the provider knows nothing under that name.
    """

    def __init__(self, base_url: str, *, key: str) -> None:
        self._client = http.open_client(
            base_url,
            # A query parameter would end up in addresses, and these in exceptions and logs.
            headers={"X-Finnhub-Token": key},
            connect_timeout_s=CONNECT_TIMEOUT_S,
            read_timeout_s=READ_TIMEOUT_S,
            connections=CONNECTIONS,
        )

    def quote(self, symbol: str) -> Figures:
        """Fetch the present quote of a symbol of any class."""
        return self._get(
            "/quote", {"symbol": symbol}, lambda answer: shapes.parse_quote(answer, symbol=symbol)
        )

    def profile(self, symbol: str) -> dict[str, object]:
        """Fetch a company's profile; market value and shares are in millions."""
        return self._get(
            "/stock/profile2",
            {"symbol": symbol},
            lambda answer: shapes.parse_profile(answer, symbol=symbol),
        )

    def company_news(self, symbol: str, *, first: date, last: date) -> list[Article]:
        """Fetch a company's news of some days, both included; free keys reach one year back."""
        params = {"symbol": symbol, "from": first.isoformat(), "to": last.isoformat()}
        return self._get("/company-news", params, shapes.parse_news)

    def general_news(self) -> list[Article]:
        """Fetch the latest news of no company in particular."""
        return self._get("/news", {"category": "general"}, shapes.parse_news)

    def forex_rates(self, base: str) -> dict[str, Decimal]:
        """Fetch what one unit of a currency buys of others; a premium endpoint."""
        return self._get(
            "/forex/rates", {"base": base}, lambda answer: shapes.parse_rates(answer, base=base)
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get(self, path: str, params: Mapping[str, str], parse: Callable[[object], T]) -> T:
        with _translated():
            reply = http.fetch(self._client, path, params=params, deadline_s=DEADLINE_S)
        _refuse_failure(reply, path)
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
    except httpx.TimeoutException:
        raise FinnhubUnavailable("it did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FinnhubUnavailable(f"the call failed ({type(error).__name__})") from None


def _refuse_failure(reply: Reply, path: str) -> None:
    status = reply.status
    if status == httpx.codes.OK:
        return
    log.warning("finnhub_refused", path=path, status=status)
    if status == httpx.codes.FORBIDDEN:
        raise NoAccess(path)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise RateLimited(retry_after_s=_pause_s(reply))
    if status == httpx.codes.UNAUTHORIZED:
        raise FinnhubUnavailable("it refuses our key", retry_after_s=_LONGEST_PAUSE_S)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise FinnhubUnavailable(f"it answered {status}")
    raise BadAnswer(f"it came with status {status}")


def _pause_s(reply: Reply) -> int:
    """Read how long to pause, if the provider says so; it documents no such header."""
    told = reply.headers.get("retry-after", "")
    return min(max(int(told), 1), _LONGEST_PAUSE_S) if told.isdecimal() else 10
