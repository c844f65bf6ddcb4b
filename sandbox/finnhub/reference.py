"""What seldom changes: profiles, peers, figures, calendars, symbol lists, countries."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random

from sandbox.finnhub.instruments import Company, Instrument, Kind

SEARCH_MOST = 25
_QUARTER_MONTHS = 3
_COUNTRIES = (
    ("CA", "CAN", "124", "Canada", "Canadian Dollar", "CAD"),
    ("CH", "CHE", "756", "Switzerland", "Swiss Franc", "CHF"),
    ("CN", "CHN", "156", "China", "Yuan Renminbi", "CNY"),
    ("DE", "DEU", "276", "Germany", "Euro", "EUR"),
    ("FR", "FRA", "250", "France", "Euro", "EUR"),
    ("GB", "GBR", "826", "United Kingdom", "Pound Sterling", "GBP"),
    ("IN", "IND", "356", "India", "Indian Rupee", "INR"),
    ("JP", "JPN", "392", "Japan", "Yen", "JPY"),
    ("MX", "MEX", "484", "Mexico", "Mexican Peso", "MXN"),
    ("US", "USA", "840", "United States", "US Dollar", "USD"),
)
_TYPES = {Kind.STOCK: "Common Stock", Kind.FOREX: "Forex", Kind.CRYPTO: "Crypto"}


def profile(company: Company, *, price: float) -> dict[str, object]:
    """Return a company's profile; its market value is in millions."""
    return {
        "country": "US",
        "currency": "USD",
        "exchange": company.exchange,
        "finnhubIndustry": company.industry,
        "ipo": company.ipo,
        "logo": f"https://logo.example/{company.ticker}.png",
        "marketCapitalization": round(price * company.shares_m, 4),
        "name": company.name,
        "phone": company.phone,
        "shareOutstanding": company.shares_m,
        "ticker": company.ticker,
        "weburl": company.weburl,
    }


def peers(company: Company, companies: Iterable[Company]) -> list[str]:
    """Return the tickers of the same industry, the company itself first."""
    others = (
        other.ticker
        for other in companies
        if other.industry == company.industry and other.ticker != company.ticker
    )
    return [company.ticker, *others]


def metric(company: Company, *, price: float, seed: int) -> dict[str, object]:
    """Return a company's basic figures."""
    random = Random(f"{seed}:{company.ticker}:metric")
    figures = {
        "10DayAverageTradingVolume": round(random.uniform(2, 90), 5),
        "52WeekHigh": round(company.price * random.uniform(1.15, 1.5), 2),
        "52WeekLow": round(company.price * random.uniform(0.5, 0.85), 2),
        "beta": round(random.uniform(0.4, 2.1), 5),
        "dividendYieldIndicatedAnnual": round(random.uniform(0, 4), 5),
        "marketCapitalization": round(price * company.shares_m, 4),
        "peTTM": round(random.uniform(9, 60), 4),
    }
    return {"metric": figures, "metricType": "all", "series": {}, "symbol": company.ticker}


def crypto_profile(instrument: Instrument, *, price: float) -> dict[str, object]:
    """Return a coin's profile; its market value is in US dollars."""
    name = instrument.display.partition("/")[0]
    supply = 21_000_000
    return {
        "circulatingSupply": supply * 0.94,
        "description": f"{name} as this simulated exchange knows it.",
        "launchDate": "2015-01-01",
        "logo": f"https://logo.example/{name}.png",
        "longName": name,
        "marketCap": round(price * supply * 0.94, 2),
        "maxSupply": supply,
        "name": name,
        "proofType": "PoS",
        "totalSupply": supply,
        "website": f"https://{name.lower()}.example/",
    }


def symbol_row(instrument: Instrument) -> dict[str, str]:
    """Return one row of a list of currency pairs or coins."""
    return {
        "description": instrument.description,
        "displaySymbol": instrument.display,
        "symbol": instrument.symbol,
    }


def stock_row(instrument: Instrument, company: Company) -> dict[str, str]:
    """Return one row of the list of stocks."""
    return {
        "currency": "USD",
        "description": instrument.description,
        "displaySymbol": instrument.display,
        "figi": "",
        "mic": "XNAS" if company.exchange.startswith("NASDAQ") else "XNYS",
        "symbol": instrument.symbol,
        "type": "Common Stock",
    }


def search(query: str, instruments: Iterable[Instrument]) -> dict[str, object]:
    """Return the instruments whose symbol or description contains the query."""
    wanted = query.upper()
    found = [
        {**symbol_row(instrument), "type": _TYPES[instrument.kind]}
        for instrument in instruments
        if wanted in instrument.symbol.upper() or wanted in instrument.description.upper()
    ]
    return {"count": len(found[:SEARCH_MOST]), "result": found[:SEARCH_MOST]}


def earnings(
    companies: Iterable[Company], *, first: date, last: date, seed: int
) -> dict[str, object]:
    """Return the reports due between two dates, a few weeks after each quarter's end."""
    rows = [
        row
        for company in companies
        for year in range(first.year, last.year + 1)
        for quarter in range(1, 5)
        if (row := _report(company, year=year, quarter=quarter, seed=seed))
        and first.isoformat() <= str(row["date"]) <= last.isoformat()
    ]
    return {"earningsCalendar": sorted(rows, key=lambda row: str(row["date"]), reverse=True)}


def countries() -> list[dict[str, str]]:
    """Return the countries of the world as far as this stand-in has been around."""
    names = ("code2", "code3", "codeNo", "country", "currency", "currencyCode")
    return [dict(zip(names, row, strict=True)) for row in _COUNTRIES]


def read_date(text: str) -> date:
    """Read a date written as `YYYY-MM-DD`.

    Raises:
        ValueError: not a date.
    """
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()


def _report(company: Company, *, year: int, quarter: int, seed: int) -> dict[str, object]:
    random = Random(f"{seed}:{company.ticker}:{year}:{quarter}:report")
    starts = date(year, (quarter - 1) * _QUARTER_MONTHS + 1, 1)
    return {
        "date": (starts + timedelta(days=random.randrange(14, 45))).isoformat(),
        "epsActual": None,
        "epsEstimate": round(company.price * random.uniform(0.005, 0.02), 4),
        "hour": random.choice(("bmo", "amc")),
        "quarter": 4 if quarter == 1 else quarter - 1,
        "revenueActual": None,
        "revenueEstimate": int(company.shares_m * company.price * random.uniform(2e3, 2e4)),
        "symbol": company.ticker,
        "year": year - 1 if quarter == 1 else year,
    }
