"""The tables of market data: quotes, companies, news and exchange rates."""

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from infra.db import Base, BigId, LongText, UtcDateTime, binary_string

SYMBOL_LENGTH = 32
DIGITS = 40


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal, stored as the digits the provider sent.

    SQLite would turn NUMERIC into a float. Scaled integers would need one scale for all, and no
    scale serves both a coin at 0.00000721 and a bitcoin in rupiah; text is exact on every server.
    The price is that SQL cannot compare the figures: bars are made where rows are written.
    """

    impl = sa.String(DIGITS)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Store plain digits, never an exponent."""
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Give back the same digits."""
        return None if value is None else Decimal(value)


class Instrument(Base):
    """A symbol's quote as an aggregate; its row lock makes the writers of one symbol serial.

    `version` counts the quotes published and `provider_time` names the present one; both are zero
    and None until the first. `fetched_at` is when the provider last confirmed it.
    """

    __tablename__ = "instrument"

    symbol: Mapped[str] = mapped_column(binary_string(SYMBOL_LENGTH), primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    source: Mapped[str | None] = mapped_column(sa.String(16))
    provider_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fetched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Quote(Base):
    """What an instrument traded at, one row per instant the provider names."""

    __tablename__ = "quote"
    __table_args__ = (
        sa.UniqueConstraint("symbol", "provider_time"),
        sa.Index(None, "symbol", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    symbol: Mapped[str] = mapped_column(binary_string(SYMBOL_LENGTH))
    provider_time: Mapped[datetime] = mapped_column(UtcDateTime)
    price: Mapped[Decimal] = mapped_column(ExactDecimal)
    change: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    change_percent: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    high: Mapped[Decimal] = mapped_column(ExactDecimal)
    low: Mapped[Decimal] = mapped_column(ExactDecimal)
    open: Mapped[Decimal] = mapped_column(ExactDecimal)
    previous_close: Mapped[Decimal] = mapped_column(ExactDecimal)
    source: Mapped[str] = mapped_column(sa.String(16))
    fetched_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Watched(Base):
    """A symbol that an operator wants kept fresh; `added_by` is his user id."""

    __tablename__ = "watched"

    symbol: Mapped[str] = mapped_column(binary_string(SYMBOL_LENGTH), primary_key=True)
    added_by: Mapped[int | None] = mapped_column(sa.BigInteger)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Reference(Base):
    """What describes the market itself, by name: `status US`, `holidays US`, `symbols binance`.

    `as_of` is the provider's time where it tells one, else that of the answer.
    """

    __tablename__ = "market_reference"

    name: Mapped[str] = mapped_column(binary_string(64), primary_key=True)
    document: Mapped[str] = mapped_column(LongText)
    source: Mapped[str] = mapped_column(sa.String(16))
    as_of: Mapped[datetime] = mapped_column(UtcDateTime)
    fetched_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Company(Base):
    """A company's profile, kept whole as the provider's JSON document."""

    __tablename__ = "company"

    symbol: Mapped[str] = mapped_column(binary_string(SYMBOL_LENGTH), primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    profile: Mapped[str | None] = mapped_column(LongText)
    source: Mapped[str | None] = mapped_column(sa.String(16))
    fetched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class News(Base):
    """An article; `publisher` is what the provider calls its source."""

    __tablename__ = "news"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    provider_id: Mapped[int] = mapped_column(sa.BigInteger, unique=True)
    category: Mapped[str] = mapped_column(sa.String(60))
    related: Mapped[str] = mapped_column(LongText)
    headline: Mapped[str] = mapped_column(LongText)
    summary: Mapped[str] = mapped_column(LongText)
    url: Mapped[str] = mapped_column(LongText)
    image: Mapped[str] = mapped_column(LongText)
    publisher: Mapped[str] = mapped_column(LongText)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)
    source: Mapped[str] = mapped_column(sa.String(16))
    fetched_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NewsListing(Base):
    """Under which feed an article was found: a symbol, or `general`."""

    __tablename__ = "news_listing"
    __table_args__ = (sa.Index(None, "feed", "published_at", "news_id"),)

    feed: Mapped[str] = mapped_column(binary_string(SYMBOL_LENGTH), primary_key=True)
    news_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("news.id"), primary_key=True)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ForexTable(Base):
    """The exchange rates of one base as an aggregate; `via` is the endpoint that served them."""

    __tablename__ = "forex_table"

    base: Mapped[str] = mapped_column(binary_string(8), primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    source: Mapped[str | None] = mapped_column(sa.String(16))
    via: Mapped[str | None] = mapped_column(sa.String(32))
    provider_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fetched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ForexRate(Base):
    """How much of `currency` one unit of `base` buys, as of the provider's time."""

    __tablename__ = "forex_rate"

    base: Mapped[str] = mapped_column(binary_string(8), primary_key=True)
    currency: Mapped[str] = mapped_column(binary_string(8), primary_key=True)
    rate: Mapped[Decimal] = mapped_column(ExactDecimal)
    provider_time: Mapped[datetime] = mapped_column(UtcDateTime)
