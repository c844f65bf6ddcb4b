"""Each program of the embedded run: its command, what it is told, and how it shows its state."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.environment import base_environment, environment
from cli.probes import HeartbeatProbe, HttpProbe, Probe, RedisProbe
from cli.service import Service, StopStage
from cli.valkey import find_server, server_command
from infra.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
STREAM = "market-stream"
_SERVERS = ("database_url", "broker_url", "streams_url", "cache_url")
# Flower answers 401 to everybody without its password, and that is sign of life enough.
_FLOWER_IS_UP = frozenset({200, 401})


@dataclass(frozen=True)
class StandInPorts:
    """Where the stand-ins for the outside world listen, on loopback."""

    gateway: int
    finnhub: int
    feed: int


def redis_server(settings: Settings, *, port: int) -> Service:
    """Describe the embedded Redis-compatible server.

    Raises:
        NoRedisServer: there is no program for it.
    """
    folder = settings.data_dir / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    return _service(
        settings,
        "redis",
        server_command(find_server(), port=port, folder=folder),
        env=base_environment(),
        probe=RedisProbe(port),
        stop_stage=StopStage.STORE,
    )


def stand_ins(settings: Settings, ports: StandInPorts, *, url: str) -> Service:
    """Describe the stand-ins for payment gateway, Finnhub and product feed, in one process.

    The gateway tells the API at `url` of what it does.
    """
    command = _python(
        "sandbox", "--host", "127.0.0.1",
        "--gateway-port", str(ports.gateway), "--finnhub-port", str(ports.finnhub),
        "--feed-port", str(ports.feed), "--data-dir", str(settings.data_dir / "sandbox"),
        "--webhook-url", f"{url}/payments/webhooks/sandbox",
    )  # fmt: skip
    asked = (ports.gateway, ports.finnhub, ports.feed)
    return _service(
        settings,
        "sandbox",
        command,
        env=environment(settings, secrets=("gateway_webhook_secret",)),
        probe=HttpProbe(*(f"http://127.0.0.1:{port}/healthz" for port in asked)),
        stop_stage=StopStage.OUTSIDE,
    )


def migrations(settings: Settings) -> Service:
    """Describe the job that brings the tables up to date."""
    env = environment(settings, secrets=("database_url",))
    return _service(settings, "migrations", _python("cli", "migrate"), env=env)


def api(settings: Settings, *, url: str) -> Service:
    """Describe the HTTP edge; open streams may hold up its stop for three seconds."""
    command = _python(
        "uvicorn", "api.main:app", "--host", settings.api_host, "--port", str(settings.api_port),
        "--http", "api.connection:Connection",
        "--timeout-graceful-shutdown", "3", "--no-access-log",
    )  # fmt: skip
    secrets = (*_SERVERS, "secret_key", "gateway_webhook_secret", "stripe_webhook_secret")
    env = environment(settings, secrets=secrets)
    return _service(settings, "api", command, env=env, probe=HttpProbe(f"{url}/readyz"))


def worker(
    settings: Settings, name: str, *, queues: str, children: int, secrets: tuple[str, ...]
) -> Service:
    """Describe a Celery worker for some queues, given what the tasks of these queues need."""
    command = _celery(
        "worker", "-Q", queues, "-n", f"{name}@%h", "-c", str(children),
        "-E", "--without-mingle", "--without-gossip",
    )  # fmt: skip
    return _with_heartbeat(settings, name, command, secrets=(*_SERVERS, *secrets))


def market_stream(settings: Settings) -> Service:
    """Describe the process that takes trades from Finnhub's websocket."""
    secrets = (*_SERVERS, "finnhub_api_key")
    return _with_heartbeat(settings, STREAM, _python("workers.stream"), secrets=secrets)


def beat(settings: Settings) -> Service:
    """Describe the clock that rings what is due by time."""
    command = _celery("beat", "--schedule", str(settings.data_dir / "celerybeat-schedule"))
    return _with_heartbeat(settings, "beat", command, secrets=_SERVERS)


def flower(settings: Settings) -> Service:
    """Describe Flower; its password comes by environment, where no `ps` shows it."""
    command = _celery(
        "flower", "--address=127.0.0.1", f"--port={settings.flower_port}", "--persistent=True",
        f"--db={settings.data_dir / 'flower.db'}", "--max_tasks=10000",
    )  # fmt: skip
    env = environment(settings, secrets=("broker_url", "flower_basic_auth"))
    probe = HttpProbe(f"{settings.flower_url}/", statuses=_FLOWER_IS_UP)
    return _service(settings, "flower", command, env=env, probe=probe)


def _with_heartbeat(
    settings: Settings, name: str, command: tuple[str, ...], *, secrets: tuple[str, ...]
) -> Service:
    file = settings.data_dir / "heartbeats" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    env = environment(settings, secrets=secrets, heartbeat=file)
    return _service(settings, name, command, env=env, probe=HeartbeatProbe(file))


def _celery(*arguments: str) -> tuple[str, ...]:
    return _python("celery", "-A", "workers.app", *arguments)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _service(
    settings: Settings,
    name: str,
    command: tuple[str, ...],
    *,
    env: Mapping[str, str],
    probe: Probe | None = None,
    stop_stage: StopStage = StopStage.WORK,
) -> Service:
    return Service(
        name=name,
        command=command,
        env=env,
        cwd=ROOT,
        log=settings.data_dir / "logs" / f"{name}.log",
        probe=probe,
        stop_stage=stop_stage,
    )
