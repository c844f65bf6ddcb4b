import io
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import pytest
import structlog
from rich.console import Console
from rich.traceback import Traceback

from market.finnhub import Finnhub
from market.sessions import Session
from market.upstream import (
    BadAnswer,
    FinnhubUnavailable,
    NoAccess,
    RateLimited,
    UnknownSymbol,
    UpstreamFailed,
)
from tests.market.conftest import PATIENT_S
from tests.support.processes import free_port
from tests.support.sandbox import Sandbox

TODAY = datetime.now(UTC).date()


def test_a_quote_is_fetched(finnhub: Finnhub) -> None:
    figures = finnhub.quote("AAPL")

    assert figures.low <= figures.price <= figures.high
    assert abs(figures.provider_time - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_profile_is_fetched(finnhub: Finnhub) -> None:
    assert finnhub.profile("AAPL")["ticker"] == "AAPL"


def test_company_news_are_fetched(finnhub: Finnhub) -> None:
    news = finnhub.company_news("AAPL", first=TODAY - timedelta(days=30), last=TODAY)

    assert news
    assert {article.related for article in news} == {"AAPL"}


def test_general_news_are_fetched(finnhub: Finnhub) -> None:
    assert finnhub.general_news()


def test_rates_are_not_in_a_free_plan(finnhub: Finnhub) -> None:
    with pytest.raises(NoAccess):
        finnhub.forex_rates("USD")


def test_rates_are_fetched_with_a_premium_plan(
    finnhub: Finnhub, switch: Callable[..., None]
) -> None:
    switch("premium", enabled=True)

    assert 0 < finnhub.forex_rates("USD")["EUR"] < 2


def test_symbols_of_both_kinds_of_exchange_are_fetched(finnhub: Finnhub) -> None:
    assert "OANDA:EUR_USD" in {match.symbol for match in finnhub.forex_symbols("oanda")}
    assert "BINANCE:BTCUSDT" in {match.symbol for match in finnhub.crypto_symbols("binance")}


def test_a_search_is_made(finnhub: Finnhub) -> None:
    assert [match.symbol for match in finnhub.search("apple")] == ["AAPL"]


def test_sessions_and_holidays_are_fetched(finnhub: Finnhub) -> None:
    assert finnhub.market_status().session is Session.REGULAR
    assert any(holiday.closes for holiday in finnhub.market_holidays())


def test_unknown_symbols_are_told(finnhub: Finnhub) -> None:
    with pytest.raises(UnknownSymbol):
        finnhub.quote("NOSUCHTHING")
    with pytest.raises(UnknownSymbol):
        finnhub.profile("NOSUCHTHING")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http_500", FinnhubUnavailable),
        ("http_429", RateLimited),
        ("no_access", NoAccess),
        ("garbage", BadAnswer),
        ("html", BadAnswer),
    ],
)
def test_each_fault_has_its_error(
    finnhub: Finnhub, sandbox: Sandbox, fault: str, error: type[UpstreamFailed]
) -> None:
    sandbox.fault("finnhub", fault, times=1)

    with pytest.raises(error):
        finnhub.quote("AAPL")


def test_a_dead_server_is_unavailable(key: str) -> None:
    with pytest.raises(FinnhubUnavailable):
        Finnhub(f"http://127.0.0.1:{free_port()}", key=key).quote("AAPL")


def test_a_symbol_cannot_change_the_address(finnhub: Finnhub) -> None:
    with pytest.raises(UnknownSymbol):
        finnhub.quote("AAPL&token=x#../../")


class _Redirecting(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def redirecting() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Redirecting)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_redirect_is_not_followed(redirecting: str, key: str) -> None:
    with pytest.raises(BadAnswer):
        Finnhub(redirecting, key=key, deadline_s=PATIENT_S).quote("AAPL")

    assert _Redirecting.asked == ["/quote?symbol=AAPL"]


@pytest.mark.parametrize(
    ("fault", "deadline_s"),
    [
        *((fault, PATIENT_S) for fault in ("http_500", "http_429", "no_access", "garbage", "html")),
        ("hang", 0.3),
    ],
)
def test_the_key_is_in_no_text(
    sandbox: Sandbox,
    fault: str,
    deadline_s: float,
    key: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    finnhub = Finnhub(sandbox.finnhub_url, key=key, deadline_s=deadline_s)
    sandbox.fault("finnhub", fault, times=1)
    caplog.set_level(logging.DEBUG)
    shown = io.StringIO()

    with pytest.raises(UpstreamFailed) as caught:
        finnhub.quote("AAPL")

    # This test's own frame holds the key. Below it, all that a console shows is looked at, which
    # with rich means the local variables of every frame.
    assert caught.tb.tb_next is not None
    failure = caught.value.with_traceback(caught.tb.tb_next)
    told = Traceback.from_exception(
        caught.type, failure, failure.__traceback__, show_locals=True, locals_max_string=10_000
    )
    Console(file=shown, width=500).print(told)
    structlog.get_logger().error("failed", exc_info=failure)
    printed = capfd.readouterr()
    everything = "".join(traceback.format_exception(failure)) + shown.getvalue()
    assert key not in everything + caplog.text + printed.out + printed.err
