from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import shapes
from market.upstream import BadAnswer, UnknownSymbol

QUOTE = (
    b'{"c":261.74,"d":2.29,"dp":0.8826,"h":263.31,"l":260.68,"o":261.07,"pc":259.45,"t":1582641000}'
)
NO_QUOTE = b'{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}'


def quote_with(**fields: object) -> Any:
    return {**shapes.parse_json(QUOTE), **fields}


def article_with(**fields: object) -> dict[str, object]:
    return {
        "category": "company news",
        "datetime": 1569550360,
        "headline": "More EV for Your Money",
        "id": 25286,
        "image": "https://example.com/a.png",
        "related": "AAPL",
        "source": "The Wire",
        "summary": "Long",
        "url": "https://example.com/a",
        **fields,
    }


def test_a_quote_keeps_every_digit() -> None:
    figures = shapes.parse_quote(shapes.parse_json(QUOTE), symbol="AAPL")

    assert figures.price == Decimal("261.74")
    assert figures.change_percent == Decimal("0.8826")
    assert figures.provider_time == datetime.fromtimestamp(1582641000, UTC)


def test_more_digits_than_a_float_has_are_kept() -> None:
    answer = shapes.parse_json(QUOTE.replace(b"261.74", b"261.7400000000000000001"))

    assert str(shapes.parse_quote(answer, symbol="X").price) == "261.7400000000000000001"


def test_all_zeros_mean_that_the_symbol_is_unknown() -> None:
    with pytest.raises(UnknownSymbol):
        shapes.parse_quote(shapes.parse_json(NO_QUOTE), symbol="NOPE")


@pytest.mark.parametrize(
    "fields",
    [
        {"h": 0, "l": 0, "o": 0, "pc": 0},
        {"c": 0},
        {"c": -1},
        {"c": None},
        {"c": "261.74"},
        {"c": True},
        {"c": Decimal("1e300")},
        {"c": 10**30},
        {"c": Decimal("1e-999999999")},
        {"d": Decimal("NaN")},
        {"l": 300, "h": 200},
        {"t": 0},
        {"t": "1582641000"},
        {"t": Decimal("1582641000.5")},
        {"t": 99999999999},
    ],
)
def test_a_quote_that_cannot_be_true_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadAnswer):
        shapes.parse_quote(quote_with(**fields), symbol="AAPL")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html>",
        b'{"c":NaN}',
        b'{"c": 12.',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"c": 1' + b"0" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        shapes.parse_json(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.decimals() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["c", "t", "h", "name"]), inner)
        ),
        max_leaves=10,
    )
)
def test_whatever_comes_is_read_or_refused(answer: object) -> None:
    for parse in (shapes.parse_quote, shapes.parse_profile):
        with suppress(BadAnswer, UnknownSymbol):
            parse(answer, symbol="X")
    with suppress(BadAnswer):
        shapes.parse_news(answer)


def test_an_empty_profile_means_that_the_company_is_unknown() -> None:
    with pytest.raises(UnknownSymbol):
        shapes.parse_profile({}, symbol="NOPE")


@pytest.mark.parametrize("answer", [[], None, {"name": ""}, {"name": "A", "nested": {"a": 1}}])
def test_what_is_no_profile_is_refused(answer: object) -> None:
    with pytest.raises(BadAnswer):
        shapes.parse_profile(answer, symbol="AAPL")


def test_half_a_surrogate_pair_is_replaced() -> None:
    profile = shapes.parse_profile(shapes.parse_json(b'{"name":"A\\ud800\\u0000B"}'), symbol="A")

    assert profile == {"name": "A?B"}


def test_broken_articles_are_left_out() -> None:
    news = shapes.parse_news([article_with(), article_with(id=0), article_with(datetime=None), 7])

    assert [article.provider_id for article in news] == [25286]


def test_news_that_are_all_broken_are_refused() -> None:
    with pytest.raises(BadAnswer):
        shapes.parse_news([article_with(id="x")])


def test_no_news_are_good_news() -> None:
    assert shapes.parse_news([]) == []


def test_an_article_keeps_only_links_that_a_browser_may_follow() -> None:
    (article,) = shapes.parse_news([article_with(url="javascript:alert(1)", image=None)])

    assert (article.url, article.image) == ("", "")


def test_the_same_article_twice_is_one() -> None:
    assert len(shapes.parse_news([article_with(), article_with()])) == 1


def test_rates_of_another_base_are_refused() -> None:
    with pytest.raises(BadAnswer):
        shapes.parse_rates({"base": "EUR", "quote": {"USD": 1}}, base="USD")


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(BadAnswer):
        shapes.parse_rates({"base": "USD", "quote": {"EUR": 0}}, base="USD")


def test_no_rates_mean_that_the_currency_is_unknown() -> None:
    with pytest.raises(UnknownSymbol):
        shapes.parse_rates({"base": "XXX", "quote": {}}, base="XXX")
