"""What a symbol may look like, and what kind of thing it names."""

import re
import unicodedata
from enum import StrEnum

from infra.errors import Invalid
from market import events

# Source: the exchanges of Finnhub's /forex/exchange and /crypto/exchange, 2026-11.
_FOREX_EXCHANGES = frozenset(
    {
        "OANDA",
        "FXCM",
        "FOREX.COM",
        "IC MARKETS",
        "ICM",
        "FXPRO",
        "PEPPERSTONE",
        "PEPPERSTONEUK",
        "FHFX",
    }
)
# Matched before the case is changed: some other letters have A-Z as their upper case.
_SYMBOL = re.compile(r"[A-Za-z0-9.:_^-]{1,32}")
LONGEST_QUERY = 64
_QUERY = re.compile(r"[\w .,:;&'()/^+*!$-]+")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_COIN = re.compile(r"[A-Z0-9]{1,12}")
_CRYPTO_EXCHANGE, _CRYPTO_CURRENCY = "BINANCE", "USDT"


class SymbolClass(StrEnum):
    """Kinds of symbols, which differ in trading hours, endpoints and topic."""

    EQUITY = "equity"
    FOREX = "forex"
    CRYPTO = "crypto"

    @property
    def topic(self) -> str:
        """The topic that quotes of this class are published on."""
        return events.CRYPTO if self is SymbolClass.CRYPTO else events.QUOTES

    @property
    def event_type(self) -> events.EventType:
        """What a new quote of this class is called."""
        if self is SymbolClass.CRYPTO:
            return events.EventType.CRYPTO_UPDATED
        return events.EventType.QUOTE_UPDATED


class InvalidSymbol(Invalid):
    """The text cannot be a symbol."""

    code = "invalid_symbol"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"That is not {what}: 1 to 32 of the characters A-Z, 0-9 and . : _ ^ - are."
        )


class InvalidQuery(Invalid):
    """The text cannot be searched for."""

    code = "invalid_query"

    def __init__(self) -> None:
        super().__init__(
            f"Search for 1 to {LONGEST_QUERY} letters, digits, spaces and signs as names have them."
        )


class InvalidCurrency(Invalid):
    """The text cannot be a currency."""

    code = "invalid_currency"

    def __init__(self) -> None:
        super().__init__("A currency has three letters, as in USD.")


def parse_symbol(text: str) -> str:
    """Read a symbol in any case.

    Raises:
        InvalidSymbol: it cannot be one.
    """
    text = text.strip(" ")
    if not _SYMBOL.fullmatch(text):
        raise InvalidSymbol("a symbol")
    return text.upper()


def parse_crypto(text: str) -> str:
    """Read a coin (`BTC`), a pair (`BTCUSDT`) or a whole symbol (`BINANCE:BTCUSDT`).

    Raises:
        InvalidSymbol: it is none of them.
    """
    symbol = parse_symbol(text)
    if ":" in symbol:
        if class_of(symbol) is not SymbolClass.CRYPTO:
            raise InvalidSymbol("a coin")
        return symbol
    if not _COIN.fullmatch(symbol):
        raise InvalidSymbol("a coin")
    pair = symbol.removesuffix(_CRYPTO_CURRENCY) or symbol
    return f"{_CRYPTO_EXCHANGE}:{pair}{_CRYPTO_CURRENCY}"


def parse_query(text: str) -> str:
    """Read what somebody searches for: upper case, and single spaces.

    Raises:
        InvalidQuery: it is empty, too long, or holds what no name holds.
    """
    query = " ".join(
        part for part in unicodedata.normalize("NFKC", text).upper().split(" ") if part
    )
    if not _QUERY.fullmatch(query) or len(query) > LONGEST_QUERY:
        raise InvalidQuery
    return query


def parse_currency(text: str) -> str:
    """Read a currency's code in any case.

    Raises:
        InvalidCurrency: it cannot be one.
    """
    text = text.strip(" ")
    if not _CURRENCY.fullmatch(text):
        raise InvalidCurrency
    return text.upper()


def class_of(symbol: str) -> SymbolClass:
    """Tell what a symbol names by the exchange before its colon."""
    exchange, colon, _ = symbol.partition(":")
    if not colon:
        return SymbolClass.EQUITY
    return SymbolClass.FOREX if exchange in _FOREX_EXCHANGES else SymbolClass.CRYPTO
