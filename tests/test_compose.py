"""docker-compose.yml and the Dockerfile, judged without an engine."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from redis import AuthenticationError, Redis

import celeryconfig
from infra.settings import Settings
from tests.support.processes import PYTHON, Nursery, clean_environment, free_port, is_listening
from tests.support.valkey import find_valkey

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("accounts", "api", "cli", "infra", "market", "migrations", "sandbox", "shop", "workers")
SERVERS = {"mysql", "redis"}
ONE_SHOT = {"migrate"}
# Who may be given a secret; nobody else has a use for it.
OWNERS = {
    "FINNHUB_API_KEY": {"worker-market", "market-stream"},
    "FLOWER_BASIC_AUTH": {"flower"},
    "GATEWAY_WEBHOOK_SECRET": {"api"},
    "SECRET_KEY": {"api"},
    "STRIPE_API_KEY": {"worker-payments"},
    "STRIPE_WEBHOOK_SECRET": {"api"},
}
LOOKS_SECRET = re.compile(r"(KEY|(?<!RANDOM_ROOT_)PASSWORD|SECRET|TOKEN|BASIC_AUTH)$")
FROM_ENVIRONMENT = re.compile(r"\$\{[A-Z_]+(:-|:\?.+)\}")

_IMPORT_ALL = """
import api.main, cli.app, sandbox.__main__, workers.app
workers.app.app.loader.import_default_modules()
"""

Service = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


@pytest.fixture(scope="module")
def workers(services: dict[str, Service]) -> dict[str, Service]:
    return {name: service for name, service in services.items() if name.startswith("worker-")}


@pytest.fixture(scope="module")
def own(services: dict[str, Service]) -> dict[str, Service]:
    """The services that run our image."""
    return {name: service for name, service in services.items() if name not in SERVERS}


def test_the_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    text = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(text.read_text())

    jsonschema.validate(compose, schema)


def test_there_is_one_worker_for_each_queue(workers: dict[str, Service]) -> None:
    consumed = {name: _option(service, "-Q") for name, service in workers.items()}

    assert consumed == {f"worker-{queue.name}": queue.name for queue in celeryconfig.task_queues}


def test_everything_that_stays_up_has_a_health_check(services: dict[str, Service]) -> None:
    without = {
        name
        for name, service in services.items()
        if not {"test", "interval", "timeout", "retries"} <= service.get("healthcheck", {}).keys()
    }

    assert without == ONE_SHOT


def test_everything_that_stays_up_is_started_again(services: dict[str, Service]) -> None:
    left_down = {name for name, service in services.items() if service["restart"] == "no"}

    assert left_down == ONE_SHOT


@pytest.mark.parametrize(("age_s", "healthy"), [(0, True), (5, True), (30, False), (None, False)])
def test_a_worker_is_healthy_while_its_heartbeat_is_fresh(
    workers: dict[str, Service], tmp_path: Path, *, age_s: int | None, healthy: bool
) -> None:
    heartbeat = tmp_path / "heartbeat"
    if age_s is not None:
        heartbeat.touch()
        os.utime(heartbeat, (time.time() - age_s, time.time() - age_s))
    kind, command = workers["worker-payments"]["healthcheck"]["test"]

    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("$$", "$")],
        env={"PATH": os.environ["PATH"], "HEARTBEAT_FILE": str(heartbeat)},
        capture_output=True,
        check=False,
    )

    assert kind == "CMD-SHELL"
    assert (done.returncode == 0) is healthy


def test_workers_can_be_multiplied(workers: dict[str, Service]) -> None:
    for service in workers.values():
        assert not {"container_name", "ports", "hostname"} & service.keys()
        assert _option(service, "-n").endswith("@%h")


def test_workers_may_finish_the_task_in_hand(workers: dict[str, Service]) -> None:
    assert {service["stop_grace_period"] for service in workers.values()} == {
        f"{celeryconfig.task_time_limit}s"
    }


def test_the_file_holds_no_secret(services: dict[str, Service]) -> None:
    literal = [
        f"{name}: {variable}"
        for name, service in services.items()
        for variable, value in service.get("environment", {}).items()
        if LOOKS_SECRET.search(variable) and not FROM_ENVIRONMENT.fullmatch(value)
    ]

    assert literal == []


@pytest.mark.parametrize("secret", sorted(OWNERS))
def test_a_secret_goes_only_to_who_needs_it(services: dict[str, Service], secret: str) -> None:
    given = {name for name, service in services.items() if secret in service.get("environment", {})}

    assert given == OWNERS[secret]


def test_a_secret_without_which_nothing_starts_says_what_to_set(
    services: dict[str, Service],
) -> None:
    wanted = {
        "api": ("SECRET_KEY", "MYSQL_PASSWORD"),
        "flower": ("FLOWER_BASIC_AUTH",),
        "mysql": ("MYSQL_PASSWORD",),
        "redis": ("REDIS_PASSWORD",),
        "worker-market": ("REDIS_PASSWORD",),
    }

    for name, variables in wanted.items():
        for variable in variables:
            value = services[name]["environment"][variable]
            assert re.fullmatch(rf"\$\{{{variable}:\?set {variable} in \.env to .+\}}", value)


def test_every_setting_passed_on_is_one_the_application_knows(own: dict[str, Service]) -> None:
    known = {name.upper() for name in Settings.model_fields}

    passed = {name for service in own.values() for name in service.get("environment", {})}

    assert passed <= known


def test_a_login_is_required(services: dict[str, Service]) -> None:
    assert services["api"]["environment"]["AUTH_MODE"] == "required"


def test_only_api_and_flower_are_published_both_on_loopback(services: dict[str, Service]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert published == {
        "api": ["${API_PUBLISH:-127.0.0.1:8012}:8012"],
        "flower": ["127.0.0.1:${FLOWER_PORT:-5555}:5555"],
    }


def test_servers_are_reached_by_the_application_only(
    compose: dict[str, Any], services: dict[str, Service]
) -> None:
    inner = [
        name for name, network in compose["networks"].items() if (network or {}).get("internal")
    ]

    assert inner == ["data"]
    assert {tuple(services[name]["networks"]) for name in SERVERS} == {("data",)}


def test_what_uses_the_tables_waits_for_the_migrations(own: dict[str, Service]) -> None:
    for name, service in own.items():
        if "MYSQL_HOST" not in service.get("environment", {}):
            continue
        waits = {on: how["condition"] for on, how in service["depends_on"].items()}
        assert waits["mysql"] == "service_healthy", name
        if name not in ONE_SHOT:
            assert waits["redis"] == "service_healthy", name
            assert waits["migrate"] == "service_completed_successfully", name


def test_redis_forgets_nothing(services: dict[str, Service]) -> None:
    assert _option(services["redis"], "--appendonly") == "yes"
    assert _option(services["redis"], "--maxmemory-policy") == "noeviction"


def test_redis_wants_its_password_and_shows_it_to_nobody(
    services: dict[str, Service], processes: Nursery, tmp_path: Path
) -> None:
    redis, port, password = services["redis"], free_port(), "s3cret-of-this-test"
    (tmp_path / "redis-server").symlink_to(find_valkey())
    # As the engine would: entrypoint and command are one list, and $$ stands for $.
    words = [word.replace("$$", "$") for word in redis["entrypoint"]]
    words = [word.replace("/tmp/", f"{tmp_path}/") for word in words]  # noqa: S108 - the container's
    words += [*shlex.split(redis["command"]), "--port", str(port), "--dir", str(tmp_path)]
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_PASSWORD": password}

    server = processes.start("redis", words, env=env)
    server.wait_until(lambda: is_listening(port))

    with pytest.raises(AuthenticationError), Redis(port=port) as stranger:
        stranger.ping()
    with Redis(port=port, password=password, decode_responses=True) as known:
        assert known.ping()
        assert known.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
    assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0


def test_data_live_in_named_volumes(compose: dict[str, Any], services: dict[str, Service]) -> None:
    mounted = {
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
    }

    assert mounted == set(compose["volumes"])


def test_our_processes_have_no_more_rights_than_they_need(own: dict[str, Service]) -> None:
    for service in own.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "user" not in service  # the image's own


def test_images_are_pinned(services: dict[str, Service]) -> None:
    images = {service["image"] for name, service in services.items() if name in SERVERS}
    bases = {words[1] for words in _instructions("FROM")}

    assert images == {"mysql:8.4", "redis:7"}
    assert bases == {"python:3.11-slim", "node:20-slim"}


def test_the_image_is_built_by_a_service_that_all_others_wait_for(
    own: dict[str, Service],
) -> None:
    builders = {name for name, service in own.items() if "build" in service}

    assert builders == ONE_SHOT
    assert {service["image"] for service in own.values()} == {"tradepost:local"}
    assert {service["pull_policy"] for service in own.values()} == {"never"}
    assert {
        name for name, service in own.items() if "migrate" not in service.get("depends_on", ())
    } == {
        "migrate",
        "sandbox",
    }


def test_the_image_runs_as_an_ordinary_user() -> None:
    assert _instructions("USER") == [["USER", "tradepost"]]


def test_the_image_holds_all_that_runs() -> None:
    copied = {word.rstrip("/") for words in _instructions("COPY") for word in words[1:]}

    assert {*SHIPPED, "alembic.ini", "beat_schedule.py", "celeryconfig.py"} <= copied


def test_what_the_image_holds_runs_without_the_rest(tmp_path: Path) -> None:
    for name in {word.rstrip("/") for words in _instructions("COPY") for word in words[1:-1]}:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        elif (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path)

    done = subprocess.run(
        [PYTHON, "-c", _IMPORT_ALL],
        cwd=tmp_path,
        env=clean_environment({"SECRET_KEY": "x" * 40, "GATEWAY_URL": "http://sandbox:9100"}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_image_installs_only_what_is_pinned_by_hash() -> None:
    installs = [words for words in _instructions("RUN") if "/venv/bin/pip" in words]

    assert len(installs) == 1
    assert {"--require-hashes", "--no-deps", "requirements.txt"} <= set(installs[0])


def test_no_command_of_the_image_goes_through_a_shell() -> None:
    text = (ROOT / "Dockerfile").read_text()

    assert re.findall(r"^(?:CMD|ENTRYPOINT) (.)", text, re.MULTILINE) == ["["]


def test_nothing_private_is_sent_to_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {
        f"!{name}"
        for name in (
            *SHIPPED,
            "alembic.ini",
            "beat_schedule.py",
            "celeryconfig.py",
            "requirements.txt",
        )
    }


def _option(service: Service, name: str) -> str:
    words = shlex.split(service["command"])
    return words[words.index(name) + 1]


def _instructions(name: str) -> list[list[str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.split()[:1] == [name]]
