"""Quotes made up for tests."""

from datetime import UTC, datetime
from decimal import Decimal

from market.shapes import Article, Figures


def make_figures(at: datetime, *, price: str = "261.74") -> Figures:
    """Make a quote of an instant."""
    return Figures(
        price=Decimal(price),
        change=Decimal("2.29"),
        change_percent=Decimal("0.8826"),
        high=Decimal("263.31"),
        low=Decimal("260.68"),
        open=Decimal("261.07"),
        previous_close=Decimal("259.45"),
        provider_time=at,
    )


def make_article(provider_id: int, *, at: datetime | None = None, text: str = "Long") -> Article:
    """Make an article."""
    return Article(
        provider_id=provider_id,
        category="company news",
        related="AAPL",
        headline=f"Headline {provider_id}",
        summary=text,
        url="https://example.com/a",
        image="",
        publisher="The Wire",
        published_at=at or datetime(2026, 11, 20, 12, tzinfo=UTC),
    )
