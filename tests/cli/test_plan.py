from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.plan import Plan, make_plan
from cli.runfile import RunFolder
from infra.settings import Settings, load_settings

SECRETS = {
    "FINNHUB_API_KEY": "fh-key",
    "STRIPE_API_KEY": "sk-key",
    "GATEWAY_WEBHOOK_SECRET": "wh-secret-of-the-stand-in",
    "STRIPE_WEBHOOK_SECRET": "wh-secret-of-stripe",
    "SECRET_KEY": "sign" * 8,
    "FLOWER_BASIC_AUTH": "me:flowers",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder(tmp_path / "var") as held:
        yield held


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV_FILE", "")
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def told(plan: Plan, service: str) -> dict[str, str]:
    return dict(next(one.env for one in plan.services if one.name == service))


def names(plan: Plan) -> list[str]:
    return [service.name for service in plan.services]


def test_without_settings_everything_runs_here(folder: RunFolder) -> None:
    plan = make_plan(load_settings(), folder)

    assert names(plan) == [
        "redis", "migrations", "sandbox",
        "api", "worker-payments", "worker-market", "beat", "flower",
    ]  # fmt: skip
    hosts = {urlsplit(place.url).hostname for place in plan.places if place.url}
    assert hosts == {"127.0.0.1", None}


def test_the_stream_of_trades_runs_when_it_is_wanted(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINNHUB_WEBSOCKET", "true")

    plan = make_plan(load_settings(), folder)

    assert "market-stream" in names(plan)
    assert told(plan, "market-stream")["FINNHUB_BASE_URL"].startswith("http://127.0.0.1:")


def test_each_program_is_told_every_address_and_no_env_file(folder: RunFolder) -> None:
    plan = make_plan(load_settings(), folder)

    env = told(plan, "worker-payments")

    assert env["ENV_FILE"] == ""
    assert env["AUTH_MODE"] == "open"
    assert env["FULFILMENT_DELAY_S"] == "5"
    assert env["DATA_DIR"] == str(folder.path)
    assert env["DATABASE_URL"] == f"sqlite:///{folder.path}/tradepost.db"
    assert env["BROKER_URL"] == env["STREAMS_URL"] == env["CACHE_URL"]
    assert env["HEARTBEAT_FILE"] == str(folder.path / "heartbeats" / "worker-payments")


def test_choices_of_the_person_are_kept(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "required")
    monkeypatch.setenv("FULFILMENT_DELAY_S", "0")
    monkeypatch.setenv("WATCHLIST", "IBM,TSLA")

    env = told(make_plan(load_settings(), folder), "api")

    assert (env["AUTH_MODE"], env["FULFILMENT_DELAY_S"]) == ("required", "0")
    assert env["WATCHLIST"] == "IBM,TSLA"


def test_each_program_is_given_only_the_secrets_it_uses(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("secret_key", SECRETS["SECRET_KEY"])

    plan = make_plan(load_settings(), folder)

    given = {
        service.name: {name for name, secret in SECRETS.items() if secret in service.env.values()}
        for service in plan.services
    }
    assert given == {
        "redis": set(),
        "migrations": set(),
        "sandbox": {"GATEWAY_WEBHOOK_SECRET"},
        "api": {"SECRET_KEY", "GATEWAY_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET"},
        "worker-payments": {"STRIPE_API_KEY"},
        "worker-market": {"FINNHUB_API_KEY"},
        "beat": set(),
        "flower": {"FLOWER_BASIC_AUTH"},
    }
    assert not any(
        secret in " ".join(service.command)
        for service in plan.services
        for secret in SECRETS.values()
    )


def test_configured_servers_are_used_and_not_started(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://me:pw@db:3306/shop")
    monkeypatch.setenv("BROKER_URL", "redis://:pw@cache:6379/0")

    plan = make_plan(load_settings(), folder)

    assert "redis" not in names(plan)
    assert told(plan, "beat")["DATABASE_URL"] == "mysql+pymysql://me:pw@db:3306/shop"
    public = {place.name: place.url for place in plan.places}
    assert public["database"] == "mysql+pymysql://me:***@db:3306/shop"
    assert public["redis"] == "redis://:***@cache:6379/0"


def test_real_services_are_not_pointed_at_their_stand_ins(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINNHUB_API_KEY", "fh-key")
    monkeypatch.setenv("PUBLIC_PRODUCT_API", "https://feed.example/products")

    plan = make_plan(load_settings(), folder)

    env = told(plan, "worker-market")
    assert env["PUBLIC_PRODUCT_API"] == "https://feed.example/products"
    assert not {"FINNHUB_BASE_URL", "SANDBOX_FEED_URL"} & set(env)
    assert env["GATEWAY_URL"].startswith("http://127.0.0.1:")


def test_no_stand_in_runs_when_all_services_are_real(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINNHUB_API_KEY", "fh-key")
    monkeypatch.setenv("PUBLIC_PRODUCT_API", "https://feed.example/products")
    monkeypatch.setenv("GATEWAY_URL", "https://gateway.example")

    assert "sandbox" not in names(make_plan(load_settings(), folder))


def test_calls_on_this_machine_go_past_a_proxy(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "intranet")

    env = told(make_plan(load_settings(), folder), "worker-market")

    assert env["no_proxy"] == env["NO_PROXY"] == "intranet,127.0.0.1,localhost,::1"


def test_made_secrets_are_kept_for_the_next_run_and_private(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        first = make_plan(load_settings(), folder).settings
    with RunFolder(tmp_path) as folder:
        second = make_plan(load_settings(), folder).settings

    assert first.secret_key == second.secret_key
    assert first.flower_basic_auth == second.flower_basic_auth
    assert first.gateway_webhook_secret == second.gateway_webhook_secret
    # Products keep the addresses of their pictures.
    assert first.sandbox_feed_url == second.sandbox_feed_url
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0
