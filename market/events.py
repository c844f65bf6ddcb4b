"""The topics that market data is published on, and the types of its events."""

from enum import StrEnum

from infra.events.kinds import Kind, kinds
from market.payloads import ArticleData, CompanyData, ForexData, QuoteData

QUOTES = "market.quotes"
COMPANIES = "market.companies"
NEWS = "market.news"
FOREX = "market.forex"
CRYPTO = "market.crypto"

TOPICS = (QUOTES, COMPANIES, NEWS, FOREX, CRYPTO)


class EventType(StrEnum):
    """What can happen to market data; the names are part of the public contract."""

    QUOTE_UPDATED = "quote.updated"
    COMPANY_UPDATED = "company.updated"
    NEWS_PUBLISHED = "news.published"
    FOREX_UPDATED = "forex.updated"
    CRYPTO_UPDATED = "crypto.updated"


KINDS: tuple[Kind, ...] = (
    *kinds(QUOTES, "quotes", QuoteData, {EventType.QUOTE_UPDATED: "A new price."}),
    *kinds(CRYPTO, "quotes", QuoteData, {EventType.CRYPTO_UPDATED: "A new price of a coin."}),
    *kinds(COMPANIES, "companies", CompanyData, {EventType.COMPANY_UPDATED: "A changed profile."}),
    *kinds(FOREX, "forex", ForexData, {EventType.FOREX_UPDATED: "Exchange rates have changed."}),
    *kinds(NEWS, "news", ArticleData, {EventType.NEWS_PUBLISHED: "A new article."}),
)
