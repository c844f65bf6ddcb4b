from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from infra.http import Reply
from market import reference_shapes, replies
from market.sessions import Session
from market.upstream import BadAnswer

STATUS = {
    "exchange": "US",
    "holiday": None,
    "isOpen": False,
    "session": "pre-market",
    "timezone": "America/New_York",
    "t": 1697018041,
}
HOLIDAYS = {
    "exchange": "US",
    "data": [
        {"atDate": "2023-12-25", "eventName": "Christmas", "tradingHour": ""},
        {"atDate": "2023-07-03", "eventName": "Independence Day", "tradingHour": "09:30-13:00"},
    ],
}


def test_a_status_is_read() -> None:
    status = reference_shapes.parse_status(STATUS, exchange="US")

    assert (status.session, status.holiday) == (Session.PRE_MARKET, None)
    assert status.at == datetime.fromtimestamp(1697018041, UTC)


def test_a_session_of_null_is_closed() -> None:
    answer = {**STATUS, "session": None, "holiday": "Christmas"}

    status = reference_shapes.parse_status(answer, exchange="US")

    assert (status.session, status.holiday) == (Session.CLOSED, "Christmas")


@pytest.mark.parametrize(
    "fields", [{"exchange": "L"}, {"session": "lunch"}, {"session": 1}, {"t": None}]
)
def test_a_status_that_cannot_be_true_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        reference_shapes.parse_status({**STATUS, **fields}, exchange="US")


def test_holidays_are_read_with_their_early_closes() -> None:
    christmas, eve = reference_shapes.parse_holidays(HOLIDAYS, exchange="US")

    assert (christmas.at, christmas.closes) == (date(2023, 12, 25), None)
    assert eve.closes == time(13)


@pytest.mark.parametrize(
    "fields",
    [
        {"exchange": "L"},
        {"data": []},
        {"data": None},
        {"data": [{"atDate": "soon", "eventName": "x", "tradingHour": ""}]},
        {"data": [{"atDate": "2023-12-25", "eventName": "x", "tradingHour": "till one"}]},
    ],
)
def test_holidays_that_cannot_be_true_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        reference_shapes.parse_holidays({**HOLIDAYS, **fields}, exchange="US")


def test_a_search_keeps_what_can_be_asked_for() -> None:
    apple = {"description": "APPLE INC", "displaySymbol": "AAPL", "symbol": "AAPL",
             "type": "Common Stock"}  # fmt: skip
    answer = {"count": 4, "result": [apple, {"symbol": "../.."}, {"symbol": None}, "x", apple]}

    (match,) = reference_shapes.parse_search(answer)

    assert (match.symbol, match.kind) == ("AAPL", "Common Stock")


@pytest.mark.parametrize("answer", [[], {}, {"count": 0, "result": None}, "x", None])
def test_what_is_no_search_result_is_refused(answer: Any) -> None:
    with pytest.raises(BadAnswer):
        reference_shapes.parse_search(answer)


@pytest.mark.parametrize("answer", [[], {}, [{"symbol": ""}]])
def test_an_exchange_without_symbols_is_a_glitch(answer: Any) -> None:
    with pytest.raises(BadAnswer):
        reference_shapes.parse_symbols(answer)


@pytest.mark.parametrize(
    ("headers", "told_s"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17),
        ({"retry-after": "0"}, 1),
        ({"retry-after": "99999999999999999999"}, 600),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "\u0663"}, None),
        ({"x-ratelimit-reset": "1767225640"}, 40),
        ({"x-ratelimit-reset": "1"}, 1),
        ({"x-ratelimit-reset": "never"}, None),
        ({"retry-after": "5", "x-ratelimit-reset": "1767225640"}, 5),
    ],
)
def test_the_pause_is_read_from_whichever_header_there_is(
    headers: dict[str, str], told_s: int | None
) -> None:
    new_year_s = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

    assert replies.told_pause_s(Reply(429, headers, b""), now_s=new_year_s) == told_s
