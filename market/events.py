"""The topics that market data is published on, and the types of its events."""

from enum import StrEnum

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
