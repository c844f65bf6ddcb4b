"""The provider's answers, checked and turned into our own values before anything else sees them.

What cannot be true is a `BadAnswer`, whatever its HTTP status was. Figures stay exact decimals.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from market.fields import (
    LARGEST_ID,
    as_list,
    as_mapping,
    decimal,
    instant,
    link,
    plain,
    price,
    text,
    whole,
)
from market.upstream import BadAnswer, UnknownSymbol

MOST_ARTICLES = 1000
_QUOTE_KEYS = ("c", "d", "dp", "h", "l", "o", "pc", "t")


@dataclass(frozen=True, slots=True)
class Figures:
    """A quote: prices of the day, and the instant that the provider names."""

    price: Decimal
    change: Decimal | None
    change_percent: Decimal | None
    high: Decimal
    low: Decimal
    open: Decimal
    previous_close: Decimal
    provider_time: datetime


@dataclass(frozen=True, slots=True)
class Article:
    """One piece of news."""

    provider_id: int
    category: str
    related: str
    headline: str
    summary: str
    url: str
    image: str
    publisher: str
    published_at: datetime


def parse_json(body: bytes) -> Any:  # noqa: ANN401 - whatever the provider sends; checked by the callers
    """Read JSON with exact numbers.

    Raises:
        BadAnswer: it is not JSON.
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadAnswer("it is not JSON") from None


def parse_quote(answer: object, *, symbol: str) -> Figures:
    """Read a quote.

    The provider answers 200 with zeros for symbols it does not know, and sometimes, by mistake,
    with zeros beside a right price.

    Raises:
        UnknownSymbol: all figures are zero or null.
        BadAnswer: some figures are missing, zero or absurd.
    """
    fields = as_mapping(answer)
    if {"c", "t"} <= fields.keys() and not any(fields.get(key) for key in _QUOTE_KEYS):
        raise UnknownSymbol(symbol)
    figures = Figures(
        price=price(fields, "c"),
        change=decimal(fields.get("d")),
        change_percent=decimal(fields.get("dp")),
        high=price(fields, "h"),
        low=price(fields, "l"),
        open=price(fields, "o"),
        previous_close=price(fields, "pc"),
        provider_time=instant(fields.get("t")),
    )
    if figures.low > figures.high:
        raise BadAnswer("the day's low is above its high")
    return figures


def parse_profile(answer: object, *, symbol: str) -> dict[str, object]:
    """Read a company's profile, under the provider's own keys.

    Raises:
        UnknownSymbol: the profile is empty.
        BadAnswer: it is no profile.
    """
    fields = as_mapping(answer)
    if not fields:
        raise UnknownSymbol(symbol)
    if not isinstance(fields.get("name"), str) or not fields["name"]:
        raise BadAnswer("the profile has no name")
    return {text(key): plain(value) for key, value in fields.items()}


def parse_news(answer: object) -> list[Article]:
    """Read news, newest first; articles that are broken are left out.

    Raises:
        BadAnswer: it is no list, or none of its articles can be read.
    """
    items = as_list(answer)
    found = [article for item in items if (article := _find_article(item)) is not None]
    if items and not found:
        raise BadAnswer("no article can be read")
    unique = {article.provider_id: article for article in found}
    newest_first = sorted(unique.values(), key=lambda one: one.published_at, reverse=True)
    return newest_first[:MOST_ARTICLES]


def parse_rates(answer: object, *, base: str) -> dict[str, Decimal]:
    """Read the exchange rates of a base currency.

    Raises:
        UnknownSymbol: there are none.
        BadAnswer: they are of another base, or absurd.
    """
    fields = as_mapping(answer)
    rates = as_mapping(fields.get("quote") or {})
    if not rates:
        raise UnknownSymbol(base)
    if fields.get("base") != base:
        raise BadAnswer("the rates are of another currency")
    return {_currency(currency): price(rates, currency) for currency in rates}


def _find_article(item: object) -> Article | None:
    try:
        fields = as_mapping(item)
        return Article(
            provider_id=whole(fields.get("id"), largest=LARGEST_ID),
            category=text(fields.get("category"))[:60],
            related=text(fields.get("related")),
            headline=text(fields.get("headline")),
            summary=text(fields.get("summary")),
            url=link(fields.get("url")),
            image=link(fields.get("image")),
            publisher=text(fields.get("source")),
            published_at=instant(fields.get("datetime")),
        )
    except BadAnswer:
        return None


def _currency(value: str) -> str:
    if not (len(value) <= 8 and value.isascii() and value.isalnum()):  # noqa: PLR2004 - the column's length
        raise BadAnswer("a currency is no currency")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
