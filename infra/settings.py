"""Every setting, read once at an edge from the environment and an optional `.env` file.

`docs/settings.md` lists them for operators.
"""

import os
import re
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from infra.errors import Misconfigured

FINNHUB_URL = "https://finnhub.io/api/v1"
FINNHUB_STREAM = "wss://ws.finnhub.io/"
MOST_SECRETS = 2
SHORTEST_WEBHOOK_SECRET = 16
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
# Source: ISO 4217, and Stripe's own list (https://docs.stripe.com/currencies), 2026-11.
_WITHOUT_TWO_DECIMALS = re.compile(
    "BIF|CLP|DJF|GNF|ISK|JPY|KMF|KRW|MGA|PYG|RWF|UGX|UYI|VND|VUV|XAF|XOF|XPF"
    "|BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW"
)
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]]+(:[0-9]{1,5})?")
_PLACEHOLDERS = ("your_", "yourpassword", "your-", "changeme", "change_me", "change-me", "<", "...")


class AuthMode(StrEnum):
    """How a caller without a token is treated."""

    REQUIRED = "required"
    OPEN = "open"


class Settings(BaseSettings):
    """What an operator may choose; a wrong value stops the start."""

    model_config = SettingsConfigDict(
        extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    mysql_host: str | None = None
    mysql_port: int = Field(3306, ge=1, le=65535)
    mysql_user: str = "tradepost"
    mysql_password: SecretStr | None = None
    mysql_db: str = "tradepost"
    database_url: SecretStr | None = None

    redis_host: str | None = None
    redis_port: int = Field(6379, ge=1, le=65535)
    redis_password: SecretStr | None = None
    redis_db: int = Field(0, ge=0)
    broker_url: SecretStr | None = None
    streams_url: SecretStr | None = None
    cache_url: SecretStr | None = None

    public_product_api: str | None = None
    sandbox_feed_url: str | None = None
    finnhub_api_key: SecretStr | None = None
    finnhub_base_url: str | None = None
    finnhub_websocket: bool = False
    finnhub_per_minute: int = Field(60, ge=1)
    finnhub_per_second: int = Field(30, ge=1)
    watchlist: Annotated[tuple[str, ...], NoDecode] = (
        "AAPL", "MSFT", "GOOGL", "AMZN", "NVDA", "TSLA",
        "BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "OANDA:EUR_USD",
    )  # fmt: skip

    payment_gateway: Literal["sandbox", "stripe"] = "sandbox"
    gateway_url: str | None = None
    gateway_timeout_s: float = Field(15.0, gt=0, le=18)
    gateway_webhook_secret: SecretStr | None = None
    stripe_api_key: SecretStr | None = None
    stripe_api_base: str = "https://api.stripe.com"
    stripe_webhook_secret: SecretStr | None = None

    auth_mode: AuthMode = AuthMode.REQUIRED
    secret_key: SecretStr | None = None
    token_ttl_s: int = Field(3600, ge=60)
    refresh_ttl_s: int = Field(2_592_000, ge=60)
    sign_ins_per_minute: int = Field(120, ge=1)
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    api_host: str = "127.0.0.1"
    api_port: int = Field(8012, ge=1, le=65535)
    flower_port: int = Field(5555, ge=1, le=65535)
    flower_basic_auth: SecretStr | None = None

    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    fee_rate: Decimal = Field(Decimal("0.20"), ge=0, le=1)
    default_stock: int = Field(100, ge=0, le=1_000_000_000)
    low_stock_threshold: int = Field(5, ge=0, le=1_000_000_000)
    sync_every_s: int = Field(3600, ge=0)
    fulfilment_delay_s: int = Field(0, ge=0)
    reservation_ttl_s: int = Field(900, ge=1)
    event_retention_days: int = Field(30, ge=1)
    task_retention_days: int = Field(30, ge=1)
    quote_retention_days: int = Field(7, ge=1)
    minute_bar_retention_days: int = Field(90, ge=1)
    hour_bar_retention_days: int = Field(3650, ge=1)
    stream_retention_h: int = Field(24, ge=1)
    stream_max_length: int = Field(500_000, ge=1000)
    group_idle_h: int = Field(72, ge=1)
    event_streams: int = Field(1000, ge=1)
    event_streams_per_caller: int = Field(50, ge=1)

    data_dir: Path = Path("var")
    dashboard_dir: Path = Path("web/dist")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    heartbeat_file: Path | None = None

    @field_validator("watchlist", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().upper() for part in value.split(",") if part.strip())
        return value

    @field_validator("currency")
    @classmethod
    def _refuse_other_decimals(cls, value: str) -> str:
        if _WITHOUT_TWO_DECIMALS.fullmatch(value):
            msg = "amounts have two decimals here, and this currency has not"
            raise ValueError(msg)
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(part.strip().lower() for part in value.split(",") if part.strip())
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            msg = "each origin looks like https://shop.example.org, without a path; `*` is refused"
            raise ValueError(msg)
        return origins

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_placeholders(cls, value: object) -> object:
        if isinstance(value, str) and value.strip().lower().startswith(_PLACEHOLDERS):
            msg = (
                "still holds the placeholder of an example: set the real value, or remove the line"
            )
            raise ValueError(msg)
        return value

    @field_validator("flower_basic_auth")
    @classmethod
    def _refuse_open_flower(cls, value: SecretStr | None) -> SecretStr | None:
        # As Flower reads it: what stands after a comma is a login of its own.
        for login in value.get_secret_value().split(",") if value else ():
            user, _, password = login.partition(":")
            if not (user and password) or password.lower().startswith((*_PLACEHOLDERS, "password")):
                msg = (
                    "it has the form user:password, with a password that nobody can guess and"
                    " without a comma, or is several such logins with commas between"
                )
                raise ValueError(msg)
        return value

    @field_validator("gateway_webhook_secret", "stripe_webhook_secret")
    @classmethod
    def _refuse_weak_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        held = split_secrets(value)
        if value is not None and not 1 <= len(held) <= MOST_SECRETS:
            msg = "set one secret, or two with a comma between while one takes over from the other"
            raise ValueError(msg)
        if any(len(secret) < SHORTEST_WEBHOOK_SECRET for secret in held):
            msg = f"a webhook secret has at least {SHORTEST_WEBHOOK_SECRET} characters"
            raise ValueError(msg)
        return value

    @property
    def webhook_secrets(self) -> dict[str, tuple[str, ...]]:
        """What each gateway may sign its webhooks with; empty where it sends none."""
        return {
            "sandbox": split_secrets(self.gateway_webhook_secret),
            "stripe": split_secrets(self.stripe_webhook_secret),
        }

    def without(self, *secrets: str) -> Self:
        """Give the same settings without secrets that this process has no use for."""
        return self.model_copy(update=dict.fromkeys(secrets))

    @field_validator("public_product_api")
    @classmethod
    def _refuse_other_schemes(cls, value: str | None) -> str | None:
        if value is not None and not value.lower().startswith(("http://", "https://")):
            msg = "it must begin with http:// or https://"
            raise ValueError(msg)
        return value

    @field_validator("broker_url", "streams_url", "cache_url")
    @classmethod
    def _refuse_other_servers(cls, value: SecretStr | None) -> SecretStr | None:
        url = value.get_secret_value().lower() if value else None
        if url is not None and not url.startswith(("redis://", "rediss://")):
            msg = "it must begin with redis:// or rediss://"
            raise ValueError(msg)
        return value

    @property
    def uses_embedded_database(self) -> bool:
        """True when no database server is configured."""
        return self.database_url is None and self.mysql_host is None

    @property
    def uses_embedded_redis(self) -> bool:
        """True when no Redis server is configured."""
        return self.broker_url is None and self.redis_host is None

    @property
    def database(self) -> str:
        """The database as an SQLAlchemy URL, with its password."""
        if self.database_url is not None:
            return _with_driver(self.database_url.get_secret_value())
        if self.mysql_host is None:
            return f"sqlite:///{self.data_dir.absolute() / 'tradepost.db'}"
        secret = self.mysql_password.get_secret_value() if self.mysql_password else ""
        login = quote(self.mysql_user, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        return f"mysql+pymysql://{login}@{self.mysql_host}:{self.mysql_port}/{self.mysql_db}"

    @property
    def broker(self) -> str:
        """The Celery broker's URL, with its password."""
        if self.broker_url is not None:
            return _with_verification(self.broker_url.get_secret_value())
        secret = self.redis_password.get_secret_value() if self.redis_password else ""
        login = f":{quote(secret, safe='')}@" if secret else ""
        return f"redis://{login}{self.redis_host or '127.0.0.1'}:{self.redis_port}/{self.redis_db}"

    @property
    def streams(self) -> str:
        """The Redis that carries the event streams; the broker's unless set."""
        chosen = self.streams_url
        return _with_verification(chosen.get_secret_value()) if chosen else self.broker

    @property
    def cache(self) -> str:
        """The Redis for cache, bells and budgets; the broker's unless set."""
        chosen = self.cache_url
        return _with_verification(chosen.get_secret_value()) if chosen else self.broker

    @property
    def feed_url(self) -> str | None:
        """The product feed: the public one, else the stand-in."""
        return self.public_product_api or self.sandbox_feed_url

    @property
    def feed_is_stand_in(self) -> bool:
        """True when the feed is the stand-in, which may stand on this machine."""
        return self.feed_url == self.sandbox_feed_url

    @property
    def finnhub_url(self) -> str:
        """Finnhub's base URL: the one set, else the real one."""
        return (self.finnhub_base_url or FINNHUB_URL).rstrip("/")

    @property
    def finnhub_stream_url(self) -> str:
        """Finnhub's websocket, with the key in it: at the base URL's host, if one is set."""
        address = FINNHUB_STREAM
        if self.finnhub_base_url:
            base = urlsplit(self.finnhub_base_url)
            address = f"{'wss' if base.scheme == 'https' else 'ws'}://{base.netloc}/"
        return f"{address}?token={quote(self.finnhub_key, safe='')}"

    @property
    def finnhub_key(self) -> str:
        """The key for Finnhub; the stand-in takes any."""
        return self.finnhub_api_key.get_secret_value() if self.finnhub_api_key else "sandbox"

    @property
    def market_source(self) -> Literal["finnhub", "simulated"]:
        """What market figures are to be called in answers: real, or made up by a stand-in."""
        real = self.finnhub_api_key is not None
        return "finnhub" if real and not is_loopback(self.finnhub_url) else "simulated"

    @property
    def flower_url(self) -> str:
        """Where a browser on this machine finds Flower."""
        return f"http://127.0.0.1:{self.flower_port}"


def load_settings() -> Settings:
    """Read the settings from the environment and the file that `ENV_FILE` names (`.env`).

    Raises:
        Misconfigured: a value cannot be used; the sentence names the setting.
    """
    env_file = os.environ.get("ENV_FILE", ".env") or None
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "a setting"
        said = first["msg"].removeprefix("Value error, ")
        raise Misconfigured(
            f"{name} is wrong: {said}. Correct it in the environment or .env."
        ) from None


def split_secrets(value: SecretStr | None) -> tuple[str, ...]:
    """Take apart a setting that may hold several secrets, separated by commas."""
    text = value.get_secret_value() if value else ""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def is_loopback(url_or_host: str) -> bool:
    """Tell whether a URL or bare host names this machine's loopback interface."""
    host = urlsplit(url_or_host).hostname if "//" in url_or_host else url_or_host
    return host in LOOPBACK_HOSTS


def _with_verification(url: str) -> str:
    # Celery speaks plain text to a rediss:// address that says nothing about certificates.
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def _with_driver(url: str) -> str:
    return url.replace("mysql://", "mysql+pymysql://", 1) if url.startswith("mysql://") else url
