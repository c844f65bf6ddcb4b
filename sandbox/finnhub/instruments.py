"""What can be quoted here: US companies, OANDA currency pairs and Binance coins."""

import csv
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

US = "US"


class Kind(StrEnum):
    """The classes of instruments, which differ in venue, volatility and trading hours."""

    STOCK = "stock"
    FOREX = "forex"
    CRYPTO = "crypto"


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something with a price; `volatility` is the usual move of one day as a fraction."""

    symbol: str
    display: str
    description: str
    kind: Kind
    price: float
    volatility: float
    decimals: int


@dataclass(frozen=True, slots=True)
class Company:
    """What a company's profile tells; shares are in millions."""

    ticker: str
    name: str
    industry: str
    exchange: str
    ipo: str
    price: float
    shares_m: float
    phone: str
    weburl: str


# The price of one unit of the first currency in the second.
_FOREX = {
    "EUR_USD": 1.0842,
    "GBP_USD": 1.2965,
    "AUD_USD": 0.6581,
    "NZD_USD": 0.5978,
    "USD_JPY": 152.31,
    "USD_CHF": 0.8674,
    "USD_CAD": 1.3912,
    "USD_CNH": 7.1218,
    "USD_SEK": 10.652,
    "USD_NOK": 10.981,
    "USD_DKK": 6.879,
    "USD_PLN": 4.0125,
    "USD_MXN": 20.031,
    "USD_SGD": 1.3214,
    "USD_HKD": 7.7712,
    "USD_ZAR": 17.642,
    "USD_TRY": 34.281,
    "USD_INR": 84.071,
    "EUR_GBP": 0.8362,
    "EUR_JPY": 165.13,
    "EUR_CHF": 0.9404,
    "GBP_JPY": 197.47,
}
_CRYPTO = {
    "BTCUSDT": ("BTC/USDT", 68250.0, 2),
    "ETHUSDT": ("ETH/USDT", 2514.0, 2),
    "BNBUSDT": ("BNB/USDT", 592.4, 2),
    "SOLUSDT": ("SOL/USDT", 171.3, 2),
    "XRPUSDT": ("XRP/USDT", 0.5217, 4),
    "ADAUSDT": ("ADA/USDT", 0.3391, 4),
    "DOGEUSDT": ("DOGE/USDT", 0.14012, 5),
    "DOTUSDT": ("DOT/USDT", 4.153, 3),
    "LTCUSDT": ("LTC/USDT", 70.82, 2),
    "LINKUSDT": ("LINK/USDT", 11.24, 2),
    "AVAXUSDT": ("AVAX/USDT", 26.11, 2),
    "TRXUSDT": ("TRX/USDT", 0.16582, 5),
    "MATICUSDT": ("MATIC/USDT", 0.3712, 4),
    "ATOMUSDT": ("ATOM/USDT", 4.118, 3),
    "UNIUSDT": ("UNI/USDT", 7.492, 3),
    "XLMUSDT": ("XLM/USDT", 0.09231, 5),
    "ETCUSDT": ("ETC/USDT", 18.44, 2),
    "FILUSDT": ("FIL/USDT", 3.551, 3),
    "NEARUSDT": ("NEAR/USDT", 4.412, 3),
    "ALGOUSDT": ("ALGO/USDT", 0.1173, 4),
    "VETUSDT": ("VET/USDT", 0.02141, 5),
    "ICPUSDT": ("ICP/USDT", 7.713, 3),
    "HBARUSDT": ("HBAR/USDT", 0.05118, 5),
    "APTUSDT": ("APT/USDT", 9.214, 3),
    "ARBUSDT": ("ARB/USDT", 0.5481, 4),
    "OPUSDT": ("OP/USDT", 1.583, 3),
    "INJUSDT": ("INJ/USDT", 19.82, 2),
    "GRTUSDT": ("GRT/USDT", 0.1583, 4),
    "AAVEUSDT": ("AAVE/USDT", 147.6, 2),
    "MKRUSDT": ("MKR/USDT", 1112.0, 1),
    "SANDUSDT": ("SAND/USDT", 0.2512, 4),
    "MANAUSDT": ("MANA/USDT", 0.2831, 4),
    "AXSUSDT": ("AXS/USDT", 4.521, 3),
    "EGLDUSDT": ("EGLD/USDT", 24.31, 2),
    "THETAUSDT": ("THETA/USDT", 1.213, 3),
    "XTZUSDT": ("XTZ/USDT", 0.6413, 4),
    "EOSUSDT": ("EOS/USDT", 0.4421, 4),
    "SNXUSDT": ("SNX/USDT", 1.422, 3),
    "CHZUSDT": ("CHZ/USDT", 0.06312, 5),
    "ENJUSDT": ("ENJ/USDT", 0.1411, 4),
    "ZECUSDT": ("ZEC/USDT", 37.15, 2),
    "DASHUSDT": ("DASH/USDT", 24.62, 2),
    "ETHBTC": ("ETH/BTC", 0.03684, 5),
    "LTCBTC": ("LTC/BTC", 0.001038, 6),
}


def load_companies() -> dict[str, Company]:
    """Read the companies by ticker from the table beside this module."""
    with Path(__file__).with_name("companies.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["ticker"]: Company(
                ticker=row["ticker"],
                name=row["name"],
                industry=row["industry"],
                exchange=row["exchange"],
                ipo=row["ipo"],
                price=float(row["price"]),
                shares_m=float(row["shares_m"]),
                phone=row["phone"],
                weburl=row["weburl"],
            )
            for row in csv.DictReader(file)
        }


def list_instruments(companies: dict[str, Company]) -> dict[str, Instrument]:
    """Return everything with a price, by symbol."""
    stocks = [_stock(company) for company in companies.values()]
    found = [*stocks, *map(_pair, _FOREX), *map(_coin, _CRYPTO)]
    return {instrument.symbol: instrument for instrument in found}


def _stock(company: Company) -> Instrument:
    ticker, name = company.ticker, company.name.upper()
    return Instrument(ticker, ticker, name, Kind.STOCK, company.price, 0.012, 2)


def _pair(pair: str) -> Instrument:
    display = pair.replace("_", "/")
    decimals = 3 if pair.endswith("JPY") else 5
    return Instrument(
        f"OANDA:{pair}", display, f"Oanda {display}", Kind.FOREX, _FOREX[pair], 0.004, decimals
    )


def _coin(pair: str) -> Instrument:
    display, price, decimals = _CRYPTO[pair]
    return Instrument(
        f"BINANCE:{pair}", display, f"Binance {pair}", Kind.CRYPTO, price, 0.028, decimals
    )
