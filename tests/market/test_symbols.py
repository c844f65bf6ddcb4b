import pytest

from market.events import CRYPTO, QUOTES
from market.symbols import (
    InvalidCurrency,
    InvalidSymbol,
    SymbolClass,
    class_of,
    parse_crypto,
    parse_currency,
    parse_symbol,
)


@pytest.mark.parametrize(
    "text", ["aapl", "BRK.B", "BINANCE:BTCUSDT", "OANDA:EUR_USD", "^GSPC", "BF-B"]
)
def test_symbols_are_read_in_any_case(text: str) -> None:
    assert parse_symbol(text) == text.upper()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "A" * 33,
        "../..",
        "AAPL\r\n",
        "AAPL\n",
        "A B",
        "Ä",
        "A%20",
        "A\x00",
        "A/B",
        "ß",
        "\N{LATIN SMALL LETTER DOTLESS I}",
    ],
)
def test_what_cannot_be_a_symbol_is_refused(text: str) -> None:
    with pytest.raises(InvalidSymbol):
        parse_symbol(text)


@pytest.mark.parametrize("text", ["BTC", "btcusdt", "BINANCE:BTCUSDT"])
def test_a_coin_has_many_names(text: str) -> None:
    assert parse_crypto(text) == "BINANCE:BTCUSDT"


@pytest.mark.parametrize("text", ["OANDA:EUR_USD", "B_C", "BRK.B", ""])
def test_what_is_no_coin_is_refused(text: str) -> None:
    with pytest.raises(InvalidSymbol):
        parse_crypto(text)


@pytest.mark.parametrize("text", ["US", "USDT", "U1D", "ÄÖÜ", ""])
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(InvalidCurrency):
        parse_currency(text)


@pytest.mark.parametrize(
    ("symbol", "symbol_class", "topic"),
    [
        ("AAPL", SymbolClass.EQUITY, QUOTES),
        ("OANDA:EUR_USD", SymbolClass.FOREX, QUOTES),
        ("BINANCE:BTCUSDT", SymbolClass.CRYPTO, CRYPTO),
        ("COINBASE:BTC-USD", SymbolClass.CRYPTO, CRYPTO),
    ],
)
def test_the_exchange_tells_the_class_and_so_the_topic(
    symbol: str, symbol_class: SymbolClass, topic: str
) -> None:
    assert class_of(symbol) is symbol_class
    assert class_of(symbol).topic == topic
