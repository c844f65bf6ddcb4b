"""The provider's answers, checked and turned into our own values before anything else sees them.

What cannot be true is a `BadAnswer`, whatever its HTTP status was. Figures stay exact decimals.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from market.upstream import BadAnswer, UnknownSymbol

MOST_ARTICLES = 1000
LONGEST_TEXT = 20_000
# Together with a sign and a point they fit the column.
_MOST_WHOLE, _MOST_PLACES = 18, 20
_LATEST_T = 4_102_444_800  # the year 2100
_LARGEST_ID = 2**63 - 1
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
    fields = _as_mapping(answer)
    if {"c", "t"} <= fields.keys() and not any(fields.get(key) for key in _QUOTE_KEYS):
        raise UnknownSymbol(symbol)
    figures = Figures(
        price=_price(fields, "c"),
        change=_decimal(fields.get("d")),
        change_percent=_decimal(fields.get("dp")),
        high=_price(fields, "h"),
        low=_price(fields, "l"),
        open=_price(fields, "o"),
        previous_close=_price(fields, "pc"),
        provider_time=_instant(fields.get("t")),
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
    fields = _as_mapping(answer)
    if not fields:
        raise UnknownSymbol(symbol)
    if not isinstance(fields.get("name"), str) or not fields["name"]:
        raise BadAnswer("the profile has no name")
    return {_text(key): _plain(value) for key, value in fields.items()}


def parse_news(answer: object) -> list[Article]:
    """Read news, newest first; articles that are broken are left out.

    Raises:
        BadAnswer: it is no list, or none of its articles can be read.
    """
    if not isinstance(answer, list):
        raise BadAnswer("the news are no list")
    found = [article for item in answer if (article := _find_article(item)) is not None]
    if answer and not found:
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
    fields = _as_mapping(answer)
    rates = _as_mapping(fields.get("quote") or {})
    if not rates:
        raise UnknownSymbol(base)
    if fields.get("base") != base:
        raise BadAnswer("the rates are of another currency")
    return {_currency(currency): _price(rates, currency) for currency in rates}


def _find_article(item: object) -> Article | None:
    try:
        fields = _as_mapping(item)
        return Article(
            provider_id=_whole(fields.get("id"), largest=_LARGEST_ID),
            category=_text(fields.get("category"))[:60],
            related=_text(fields.get("related")),
            headline=_text(fields.get("headline")),
            summary=_text(fields.get("summary")),
            url=_link(fields.get("url")),
            image=_link(fields.get("image")),
            publisher=_text(fields.get("source")),
            published_at=_instant(fields.get("datetime")),
        )
    except BadAnswer:
        return None


def _as_mapping(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise BadAnswer("it is no object")
    return answer


def _price(fields: Mapping[str, Any], key: str) -> Decimal:
    figure = _decimal(fields.get(key))
    if figure is None or figure <= 0:
        raise BadAnswer("a figure is missing or not above zero")
    return figure


def _decimal(value: object) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadAnswer("a figure is no number")
    figure = Decimal(value)
    exponent = figure.as_tuple().exponent
    # A tiny exponent is a few letters here and a gigabyte of zeros where it is written out.
    if (
        not isinstance(exponent, int)
        or exponent < -_MOST_PLACES
        or figure.adjusted() >= _MOST_WHOLE
    ):
        raise BadAnswer("a figure is out of all bounds")
    return figure


def _instant(value: object) -> datetime:
    return datetime.fromtimestamp(_whole(value, largest=_LATEST_T), UTC)


def _whole(value: object, *, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= largest:
        raise BadAnswer("an id or a time is missing or absurd")
    return value


def _text(value: object) -> str:
    # Half a surrogate pair is valid JSON, but no database takes it.
    text = value if isinstance(value, str) else ""
    return text[:LONGEST_TEXT].encode(errors="replace").decode().replace("\x00", "")


def _link(value: object) -> str:
    """Keep only what a browser may safely be sent to."""
    link = _text(value)
    return link if link.lower().startswith(("http://", "https://")) else ""


def _currency(value: str) -> str:
    if not (len(value) <= 8 and value.isascii() and value.isalnum()):  # noqa: PLR2004 - the column's length
        raise BadAnswer("a currency is no currency")
    return value


def _plain(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return _decimal(value)
    raise BadAnswer("the profile is not flat")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
