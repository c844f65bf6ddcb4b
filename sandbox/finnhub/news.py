"""News that nobody wrote before: the same articles for the same seed, appearing as time passes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random

from sandbox.finnhub.instruments import Company
from sandbox.finnhub.prices import DAY_S

CATEGORIES = ("general", "forex", "crypto", "merger")
YEAR_DAYS = 365
_EPOCH = date(1970, 1, 1)
LATEST_DAYS = 3
MOST_ARTICLES = 100
_SLOTS_A_DAY = 8
_COMPANY_CHANCE = 0.3
_LONG_CHANCE = 0.125
_LINES = 1000
_FIRST_CATEGORY_LINE = 900

_ABOUT_COMPANIES = (
    ("{name} beats expectations for the quarter", "Orders at {name} grew faster than costs."),
    ("{name} names a new head of operations", "The change at {name} takes effect next month."),
    ("Analysts disagree about {name}", "Price targets for {ticker} now lie far apart."),
    ("{name} opens a research centre", "It will look into what the {industry} trade needs next."),
    ("{name} widens its buy-back programme", "The board of {name} sees the shares as cheap."),
    ("Supplier trouble holds {name} back", "Deliveries are late, {name} says, demand is not."),
    ("{name} and a rival settle their dispute", "Neither side tells what the deal is worth."),
    ("What the options market expects of {ticker}", "Traders pay up for protection this week."),
)
_ABOUT_MARKETS = {
    "general": (
        ("Stocks drift as traders await figures", "Volumes stay thin before the report."),
        ("Bond yields ease after a calm auction", "Buyers took what was offered."),
        ("Retail sales come in above forecasts", "Households spent more on services."),
        ("Shipping rates fall for a third week", "Ports report shorter queues."),
    ),
    "forex": (
        ("Dollar steadies in quiet trading", "Most pairs keep within narrow ranges."),
        ("Euro gains after inflation figures", "Traders move back their bets on a cut."),
        ("Yen slips as yields rise abroad", "Officials say they watch the market."),
    ),
    "crypto": (
        ("Bitcoin holds its range over the weekend", "Funding rates are close to neutral."),
        ("Network fees fall to a yearly low", "Fewer transfers wait for confirmation."),
        ("Exchange lists three new pairs", "Trading opens with the usual limits."),
    ),
    "merger": (
        ("Two regional carriers agree to merge", "Regulators have yet to look at the deal."),
        ("Software maker receives a takeover bid", "The board asks holders to wait."),
        ("Chemicals group sells its coatings arm", "The price is paid in cash."),
    ),
}
_SOURCES = ("Harbour Wire", "Ledger Daily", "Market Lantern", "The Closing Bell", "Tickertape")
_MORE = (
    " The full report runs through the figures of every division, compares them with those of the"
    " last eight quarters, quotes three people who know the matter, and ends with a table of what"
    " has to happen for the forecast to come true, line by line."
)


@dataclass(frozen=True, slots=True)
class Article:
    """One article, its fields as the provider writes them; `datetime` in unix seconds."""

    category: str
    datetime: int
    headline: str
    id: int
    image: str
    related: str
    source: str
    summary: str
    url: str


@dataclass(frozen=True, slots=True)
class _Series:
    """A row of articles about one subject; its line number keeps the ids of all series apart."""

    line: int
    category: str
    related: str = ""


class Newsroom:
    """All articles that a seed implies."""

    def __init__(self, *, seed: int, companies: dict[str, Company]) -> None:
        self._seed = seed
        self._lines = {ticker: line for line, ticker in enumerate(companies)}

    def about(self, company: Company, *, first: date, last: date, now: float) -> list[Article]:
        """Return a company's articles between two dates, at most a year back, newest first."""
        today = int(now // DAY_S)
        days = range(max(_day(first), today - YEAR_DAYS), min(_day(last), today) + 1)
        found = (article for day in days for article in self._company_day(company, day))
        return _newest_first(found, now=now)

    def latest(self, category: str, *, after_id: int, now: float) -> list[Article]:
        """Return a category's articles of the last days with a greater id, newest first."""
        today = int(now // DAY_S)
        days = range(today - LATEST_DAYS, today + 1)
        found = (article for day in days for article in self._category_day(category, day))
        newer = (article for article in found if article.id > after_id)
        return _newest_first(newer, now=now)[:MOST_ARTICLES]

    def _company_day(self, company: Company, day: int) -> Iterator[Article]:
        series = _Series(self._lines[company.ticker], "company news", company.ticker)
        names = {
            "name": company.name,
            "ticker": company.ticker,
            "industry": company.industry.lower(),
        }
        for slot in range(_SLOTS_A_DAY):
            random = Random(f"{self._seed}:{company.ticker}:{day}:{slot}:news")
            if random.random() < _COMPANY_CHANCE:
                headline, summary = random.choice(_ABOUT_COMPANIES)
                text = (headline.format(**names), summary.format(**names))
                yield _article(series, day * _SLOTS_A_DAY + slot, text, random)

    def _category_day(self, category: str, day: int) -> Iterator[Article]:
        series = _Series(_FIRST_CATEGORY_LINE + CATEGORIES.index(category), category)
        for slot in range(_SLOTS_A_DAY):
            random = Random(f"{self._seed}:{category}:{day}:{slot}:news")
            text = random.choice(_ABOUT_MARKETS[category])
            yield _article(series, day * _SLOTS_A_DAY + slot, text, random)


def _article(series: _Series, slot: int, text: tuple[str, str], random: Random) -> Article:
    headline, summary = text
    slot_s = DAY_S // _SLOTS_A_DAY
    article_id = slot * _LINES + series.line
    slug = "-".join(headline.lower().split())
    # Some are longer than a VARCHAR(255), as some real ones are.
    is_long = random.random() < _LONG_CHANCE
    return Article(
        category=series.category,
        datetime=slot * slot_s + random.randrange(slot_s),
        headline=headline + (_MORE if is_long else ""),
        id=article_id,
        image=f"https://news.example/images/{article_id}.png",
        related=series.related,
        source=random.choice(_SOURCES),
        summary=summary + (_MORE if is_long else ""),
        url=f"https://news.example/{article_id}/{slug}" + ("/reprint" * 32 if is_long else ""),
    )


def _newest_first(found: Iterator[Article], *, now: float) -> list[Article]:
    published = [article for article in found if article.datetime <= now]
    return sorted(published, key=lambda article: article.datetime, reverse=True)


def _day(at: date) -> int:
    return (at - _EPOCH).days
