"""What the embedded run consists of: what runs here, what is reached elsewhere, and where."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pydantic import SecretStr

from cli import programs
from cli.ports import pick_free
from cli.programs import STREAM, StandInPorts
from cli.runfile import RunFolder
from cli.service import Service
from infra.settings import AuthMode, Settings

FLOWER_USER = "admin"
# Long enough for a person to see an order paid before it is completed.
DEMO_FULFILMENT_DELAY_S = 5
_WORKERS = frozenset({"worker-payments", "worker-market"})
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


@dataclass(frozen=True)
class Place:
    """Something that can be reached, and which of our programs runs it, if any does."""

    name: str
    url: str | None = None
    service: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run, ready to be carried out."""

    settings: Settings
    services: tuple[Service, ...]
    places: tuple[Place, ...]
    flower_password_made: bool


def make_plan(settings: Settings, folder: RunFolder) -> Plan:
    """Decide what runs here and complete the settings with its addresses.

    Raises:
        NoRedisServer: Redis is to run here, and there is no program for it.
    """
    # Products keep the addresses of their pictures, so the feed stays where it was.
    feed_port = folder.kept_port("feed_port")
    redis_port, gateway_port, finnhub_port = [it for it in pick_free(4) if it != feed_port][:3]
    ports = StandInPorts(gateway_port, finnhub_port, feed_port)
    simulated = _simulated(settings, ports)
    resolved = settings.model_copy(
        update={**_decided(settings, folder, redis_port=redis_port), **simulated}
    )
    first = [programs.migrations(resolved)]
    if settings.uses_embedded_redis:
        first.insert(0, programs.redis_server(resolved, port=redis_port))
    if simulated:
        first.append(programs.stand_ins(resolved, ports, url=api_url(resolved)))
    running = {service.name for service in first}
    then = [replace(service, needs=_needs(service, running)) for service in _work(resolved)]
    places = _places(resolved, running=running, simulated=simulated)
    return Plan(
        settings=resolved,
        services=(*first, *then),
        places=places,
        flower_password_made=settings.flower_basic_auth is None,
    )


def api_url(settings: Settings) -> str:
    """Give the address under which this machine reaches the API."""
    host = "127.0.0.1" if settings.api_host in _EVERY_ADDRESS else settings.api_host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def _decided(settings: Settings, folder: RunFolder, *, redis_port: int) -> dict[str, object]:
    """Name what the person left open, and what would depend on the folder a program starts in."""
    here = settings.model_copy(update={"data_dir": folder.path})
    own_redis = f"redis://127.0.0.1:{redis_port}/0"
    broker = own_redis if settings.uses_embedded_redis else settings.broker
    decided: dict[str, object] = {
        "data_dir": folder.path,
        "database_url": SecretStr(here.database),
        "broker_url": SecretStr(broker),
        "streams_url": settings.streams_url or SecretStr(broker),
        "cache_url": settings.cache_url or SecretStr(broker),
        "api_host": settings.api_host,
        "api_port": settings.api_port,
        "flower_port": settings.flower_port,
        "auth_mode": auth_mode(settings),
    }
    if "fulfilment_delay_s" not in settings.model_fields_set:
        decided["fulfilment_delay_s"] = DEMO_FULFILMENT_DELAY_S
    if settings.secret_key is None:
        decided["secret_key"] = SecretStr(folder.kept_secret("secret_key"))
    if settings.gateway_webhook_secret is None:
        decided["gateway_webhook_secret"] = SecretStr(folder.kept_secret("webhook_secret"))
    if settings.flower_basic_auth is None:
        password = folder.kept_secret("flower_password")
        decided["flower_basic_auth"] = SecretStr(f"{FLOWER_USER}:{password}")
    return decided


def auth_mode(settings: Settings) -> AuthMode:
    """Give the mode of access: open, unless the person has chosen."""
    return settings.auth_mode if "auth_mode" in settings.model_fields_set else AuthMode.OPEN


def _simulated(settings: Settings, ports: StandInPorts) -> dict[str, object]:
    """Point what is not configured at its stand-in; what is real stays as it is."""
    urls: dict[str, object] = {}
    if str(settings.payment_gateway) == "sandbox" and settings.gateway_url is None:
        urls["gateway_url"] = f"http://127.0.0.1:{ports.gateway}"
    if settings.finnhub_api_key is None and settings.finnhub_base_url is None:
        urls["finnhub_base_url"] = f"http://127.0.0.1:{ports.finnhub}/api/v1"
    if settings.feed_url is None:
        urls["sandbox_feed_url"] = f"http://127.0.0.1:{ports.feed}/products"
    return urls


def _work(settings: Settings) -> list[Service]:
    return [
        programs.api(settings, url=api_url(settings)),
        programs.worker(
            settings,
            "worker-payments",
            queues="payments,events",
            children=2,
            secrets=("stripe_api_key",),
        ),
        programs.worker(
            settings,
            "worker-market",
            queues="market,products",
            children=1,
            secrets=("finnhub_api_key",),
        ),
        *([programs.market_stream(settings)] if settings.finnhub_websocket else []),
        programs.beat(settings),
        programs.flower(settings),
    ]


def _needs(service: Service, running: set[str]) -> frozenset[str]:
    # Flower asks once, at its start, which workers there are.
    return _WORKERS if service.name == "flower" else frozenset(running)


def _places(
    settings: Settings, *, running: set[str], simulated: dict[str, object]
) -> tuple[Place, ...]:
    def stand_in(name: str, setting: str, url: str | None) -> Place:
        return Place(name, _public(url), "sandbox" if setting in simulated else None)

    return (
        Place("api", api_url(settings), "api"),
        Place("flower", settings.flower_url, "flower"),
        Place("worker-payments", service="worker-payments"),
        Place("worker-market", service="worker-market"),
        *([Place(STREAM, service=STREAM)] if settings.finnhub_websocket else []),
        Place("beat", service="beat"),
        stand_in("gateway", "gateway_url", settings.gateway_url),
        stand_in("finnhub", "finnhub_base_url", settings.finnhub_url),
        stand_in("feed", "sandbox_feed_url", settings.feed_url),
        Place("redis", _public(settings.broker), "redis" if "redis" in running else None),
        Place("database", _public(settings.database)),
    )


def _public(url: str | None) -> str | None:
    """Give the URL without its password."""
    if url is None or not (secret := urlsplit(url).password):
        return url
    return url.replace(f":{secret}@", ":***@", 1)
