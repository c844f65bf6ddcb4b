"""Settings: one sentence for each fault, addresses derived, secrets kept out of texts."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from infra.errors import Misconfigured
from infra.settings import FINNHUB_URL, Settings, is_loopback, load_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MYSQL_PORT", "abc"),
        ("API_PORT", "0"),
        ("FEE_RATE", "1.5"),
        ("RESERVATION_TTL_S", "-1"),
        ("AUTH_MODE", "off"),
        ("PAYMENT_GATEWAY", "paypal"),
        ("GATEWAY_WEBHOOK_SECRET", "too-short"),
        ("GATEWAY_WEBHOOK_SECRET", " , "),
        (
            "STRIPE_WEBHOOK_SECRET",
            "whsec_of_a_good_length,whsec_another_of_them,whsec_a_third_one_too",
        ),
        ("BROKER_URL", "amqp://guest@127.0.0.1/"),
        ("STREAMS_URL", "127.0.0.1:6379"),
        ("CACHE_URL", "http://127.0.0.1:6379"),
        ("CURRENCY", "usd"),
        ("CURRENCY", "JPY"),
        ("CURRENCY", "KWD"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_wrong_value_stops_the_start_and_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(Misconfigured) as refusal:
        load_settings()

    assert refusal.value.detail.startswith(f"{name} is wrong: ")
    assert refusal.value.detail.endswith("Correct it in the environment or .env.")
    assert "\n" not in refusal.value.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FINNHUB_API_KEY", "your_finnhub_api_key"),
        ("MYSQL_PASSWORD", "yourpassword"),
        ("SECRET_KEY", "changeme"),
        ("STRIPE_API_KEY", "YOUR-STRIPE-KEY"),
    ],
)
def test_placeholder_of_an_example_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(Misconfigured, match=f"^{name} is wrong: still holds the placeholder"):
        load_settings()


def test_refused_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "changeme-but-this-part-is-private")

    with pytest.raises(Misconfigured) as refusal:
        load_settings()

    assert "private" not in refusal.value.detail


@pytest.mark.parametrize(
    "logins", ["admin", "admin:", ":8Ytrewq", "admin:password1", "a:8Ytrewq,b", "a:8Ytrewq,b:your_"]
)
def test_flower_is_not_opened_by_a_login_that_is_none(
    monkeypatch: pytest.MonkeyPatch, logins: str
) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "a:8Ytrewq,b:7Uytrew")
    load_settings()
    monkeypatch.setenv("FLOWER_BASIC_AUTH", logins)

    with pytest.raises(Misconfigured, match=r"^FLOWER_BASIC_AUTH is wrong"):
        load_settings()


def test_secrets_are_not_shown_by_accident() -> None:
    settings = Settings(mysql_password="hidden-1", finnhub_api_key="hidden-2")

    assert "hidden" not in repr(settings)


def test_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_HOST", "")
    monkeypatch.setenv("API_PORT", "")

    settings = load_settings()

    assert settings.uses_embedded_database
    assert settings.api_port == 8012


def test_named_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.env"
    file.write_text("API_PORT=9001\nFLOWER_PORT=9002\nSOMETHING_OF_ANOTHER_PROGRAM=1\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    monkeypatch.setenv("API_PORT", "9003")

    settings = load_settings()

    assert (settings.api_port, settings.flower_port) == (9003, 9002)


def test_no_file_is_read_when_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("API_PORT=9001\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENV_FILE", "")

    assert load_settings().api_port == 8012


def test_watchlist_is_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHLIST", " aapl, BINANCE:BTCUSDT ,,")

    assert load_settings().watchlist == ("AAPL", "BINANCE:BTCUSDT")


def test_login_is_quoted_in_the_database_url() -> None:
    settings = Settings(mysql_host="db", mysql_user="a@b", mysql_password="p@ss/w:rd?#%")

    url = make_url(settings.database)

    assert url.drivername == "mysql+pymysql"
    assert (url.username, url.password) == ("a@b", "p@ss/w:rd?#%")
    assert (url.host, url.port, url.database) == ("db", 3306, "tradepost")


def test_database_url_wins_over_its_parts_and_gets_our_driver() -> None:
    settings = Settings(mysql_host="other", database_url="mysql://u:p@db:3307/shop")

    assert settings.database == "mysql+pymysql://u:p@db:3307/shop"
    assert not settings.uses_embedded_database


def test_database_is_a_file_in_the_data_folder_unless_a_server_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)

    assert settings.uses_embedded_database
    assert settings.database == f"sqlite:///{tmp_path}/tradepost.db"


def test_one_redis_serves_everything_unless_told_otherwise() -> None:
    settings = Settings(redis_host="cache.example", redis_port=6380, redis_db=3)

    assert settings.broker == "redis://cache.example:6380/3"
    assert settings.streams == settings.cache == settings.broker
    assert not settings.uses_embedded_redis


def test_streams_and_cache_may_live_elsewhere() -> None:
    settings = Settings(
        broker_url="redis://a/0", streams_url="redis://b/1", cache_url="redis://c/2"
    )

    assert (settings.broker, settings.streams, settings.cache) == (
        "redis://a/0",
        "redis://b/1",
        "redis://c/2",
    )


def test_real_product_feed_wins_over_the_stand_in() -> None:
    stand_in = "http://127.0.0.1:1/products"
    real = "https://shop.example/products"

    assert Settings(sandbox_feed_url=stand_in).feed_url == stand_in
    assert Settings(sandbox_feed_url=stand_in, public_product_api=real).feed_url == real
    assert Settings().feed_url is None


@pytest.mark.parametrize("feed", ["file:///etc/passwd", "shop.example/products", "ftp://a/"])
def test_a_product_feed_is_read_over_http(monkeypatch: pytest.MonkeyPatch, feed: str) -> None:
    monkeypatch.setenv("PUBLIC_PRODUCT_API", feed)

    with pytest.raises(Misconfigured, match="PUBLIC_PRODUCT_API is wrong: it must begin with http"):
        load_settings()


@pytest.mark.parametrize(
    ("key", "base_url", "source"),
    [
        (None, None, "simulated"),
        (None, "http://127.0.0.1:9/api/v1", "simulated"),
        ("k", "http://127.0.0.1:9/api/v1", "simulated"),
        ("k", None, "finnhub"),
        ("k", "https://proxy.example/api/v1", "finnhub"),
    ],
)
def test_market_figures_are_called_real_only_with_a_key_and_a_real_server(
    key: str | None, base_url: str | None, source: str
) -> None:
    settings = Settings(finnhub_api_key=key, finnhub_base_url=base_url)

    assert settings.market_source == source


def test_finnhub_is_the_real_one_unless_another_is_named() -> None:
    assert Settings().finnhub_url == FINNHUB_URL
    assert Settings(finnhub_base_url="http://127.0.0.1:9/api/v1/").finnhub_url.endswith("/v1")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "localhost", "http://127.0.0.1:9100/x", "http://[::1]:9100"]
)
def test_loopback_is_recognised(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "https://127.0.0.1.example.org", "db", ""])  # noqa: S104 - not bound
def test_other_address_is_not_taken_for_loopback(address: str) -> None:
    assert not is_loopback(address)


def test_origins_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://Shop.example.org, http://localhost:5173")

    assert load_settings().cors_origins == ("https://shop.example.org", "http://localhost:5173")


@pytest.mark.parametrize("origin", ["*", "shop.example.org", "https://a.example/path", "null"])
def test_origin_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", f"https://shop.example.org,{origin}")

    with pytest.raises(Misconfigured, match=r"^CORS_ORIGINS is wrong: each origin looks like"):
        load_settings()


def test_process_lets_go_of_secrets_that_are_not_its_own() -> None:
    held = Settings(_env_file=None, secret_key=SecretStr("x" * 32), mysql_password=SecretStr("y"))

    kept = held.without("secret_key")

    assert (kept.secret_key, kept.mysql_password) == (None, SecretStr("y"))
