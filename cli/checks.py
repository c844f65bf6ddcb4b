"""What is looked at before anything is started, so that a fault is one clear sentence."""

import socket
import ssl
from urllib.parse import urlsplit

from cli.modules import require_modules
from cli.plan import auth_mode
from cli.ports import require_free
from infra.errors import AppError, Misconfigured
from infra.settings import AuthMode, Settings, is_loopback

_CONNECT_WITHIN_S = 3.0
_USUAL_PORTS = {"mysql": 3306, "mariadb": 3306, "redis": 6379, "rediss": 6379}


class ServerUnreachable(AppError):
    """A configured server does not answer."""

    code = "server_unreachable"

    def __init__(self, what: str, *, at: str, setting: str, reason: str) -> None:
        super().__init__(
            f"{what} at {at} cannot be used ({reason}): start it, correct {setting}, or remove "
            f"{setting} to use the embedded one."
        )


def check_start(settings: Settings) -> None:
    """Look for everything that would make a start fail later, and less clearly.

    Raises:
        Misconfigured: settings that contradict each other.
        ModuleMissing: a Python module is not installed.
        PortTaken: a port that the settings name is in use.
        ServerUnreachable: a server that the settings name does not answer.
    """
    require_modules()
    _require_safe_access(settings)
    if settings.api_port == settings.flower_port:
        raise Misconfigured(
            f"API_PORT and FLOWER_PORT are both {settings.api_port}: set one to another port."
        )
    if settings.payment_gateway == "stripe" and settings.stripe_api_key is None:
        raise Misconfigured(
            "STRIPE_API_KEY is missing: set it to the secret key of the account, or remove "
            "PAYMENT_GATEWAY to use the stand-in."
        )
    require_free(settings.api_host, settings.api_port, setting="API_PORT")
    require_free("127.0.0.1", settings.flower_port, setting="FLOWER_PORT")
    check_servers(settings)


def check_servers(settings: Settings) -> None:
    """Connect to every server that is configured, one after the other.

    Raises:
        Misconfigured: a URL cannot be read.
        ServerUnreachable: a server does not answer.
    """
    for what, url, setting in configured_servers(settings):
        address = _address(url, setting=setting)
        if address is not None:
            _require_answer(what, address, setting=setting)
            _require_sign_of_life(what, url, at="{}:{}".format(*address), setting=setting)


def configured_servers(settings: Settings) -> list[tuple[str, str, str]]:
    """List what is configured as (kind, URL, name of the setting)."""
    servers = []
    if not settings.uses_embedded_database:
        named = "MYSQL_HOST" if settings.database_url is None else "DATABASE_URL"
        servers.append(("The database", settings.database, named))
    if not settings.uses_embedded_redis:
        named = "REDIS_HOST" if settings.broker_url is None else "BROKER_URL"
        servers.append(("The broker", settings.broker, named))
    if settings.streams_url:
        servers.append(("The Redis for streams", settings.streams, "STREAMS_URL"))
    if settings.cache_url:
        servers.append(("The Redis for the cache", settings.cache, "CACHE_URL"))
    return servers


def _require_safe_access(settings: Settings) -> None:
    if auth_mode(settings) is AuthMode.OPEN and not is_loopback(settings.api_host):
        raise Misconfigured(
            f"API_HOST {settings.api_host} would open the API to the network without a login: "
            "set AUTH_MODE=required, or API_HOST=127.0.0.1."
        )


def _address(url: str, *, setting: str) -> tuple[str, int] | None:
    """Read host and port; None for a file or a socket, which is no server to connect to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Misconfigured(f"{setting} is not a URL: its host or port cannot be read.") from error
    if not parts.scheme:
        raise Misconfigured(f"{setting} is not a URL: it has to begin like mysql:// or redis://.")
    usual = _USUAL_PORTS.get(parts.scheme.split("+")[0])
    if host is None or (port or usual) is None:
        return None
    return host, port or usual or 0


def _require_answer(what: str, address: tuple[str, int], *, setting: str) -> None:
    try:
        socket.create_connection(address, timeout=_CONNECT_WITHIN_S).close()
    except OSError as error:
        reason = "timed out" if isinstance(error, TimeoutError) else str(error.strerror).lower()
        at = "{}:{}".format(*address)
        raise ServerUnreachable(what, at=at, setting=setting, reason=reason) from error


def _require_sign_of_life(what: str, url: str, *, at: str, setting: str) -> None:
    """Log in where that is cheap; the migrations log in to the database and tell."""
    if not url.startswith(("redis://", "rediss://")):
        return
    from infra.redis import RedisDown, connect, ping  # noqa: PLC0415 - slow, and seldom needed

    try:
        ping(connect(url, timeout_s=_CONNECT_WITHIN_S))
    except RedisDown as error:
        reason = _distrust(error) or "it refuses the login or gives no answer"
        raise ServerUnreachable(what, at=at, setting=setting, reason=reason) from error


def _distrust(error: BaseException | None) -> str | None:
    """Find what was wrong with a certificate, if that is what an error comes from."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
        error = error.__cause__ or error.__context__
    return None
