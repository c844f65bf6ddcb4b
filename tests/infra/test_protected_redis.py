"""A Redis that wants a password, behind TLS, as the three settings name it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from celery import Celery
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from cli.checks import ServerUnreachable, check_servers
from infra import redis
from infra.redis import RedisDown
from infra.settings import Settings
from infra.sharing.limiter import Allowance, Limiter
from tests.support.certificates import Certificates, make_certificates
from tests.support.tls_door import TlsDoor
from tests.support.valkey import Valkey

PASSWORD = "p@ss/w#rd"
QUOTED = "p%40ss%2Fw%23rd"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), address="192.0.2.1")


@pytest.fixture
def locked(valkey: Valkey) -> Iterator[Valkey]:
    """A Redis that wants a password."""
    with valkey.client() as plain:
        plain.config_set("requirepass", PASSWORD)
    yield valkey
    with redis_py.Redis(port=valkey.port, password=PASSWORD) as own:
        own.config_set("requirepass", "")


@pytest.fixture
def protected(locked: Valkey, certificates: Certificates) -> Iterator[str]:
    """The URL of a Redis with password and TLS, without a word on whom to trust."""
    door = TlsDoor(certificates.server, locked.port)
    yield f"rediss://:{QUOTED}@127.0.0.1:{door.port}/0"
    door.close()


@pytest.fixture
def pretended(locked: Valkey, misnamed: Certificates) -> Iterator[str]:
    """The URL of a server whose certificate is another's."""
    door = TlsDoor(misnamed.server, locked.port)
    yield f"rediss://:{QUOTED}@127.0.0.1:{door.port}/0?ssl_ca_certs={misnamed.authority}"
    door.close()


def settings(url: str) -> Settings:
    return Settings(_env_file=None, broker_url=SecretStr(url))


def trusting(url: str, authority: Path) -> str:
    return settings(f"{url}?ssl_ca_certs={authority}").broker


def ping_as_celery(url: str) -> None:
    with Celery("door", broker=url).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=60)
        channel: Any = connection.channel()
        assert channel.client.ping()


def test_our_clients_use_password_and_tls(protected: str, certificates: Certificates) -> None:
    url = trusting(protected, certificates.authority)
    client = redis.connect(url)
    limiter = Limiter(url, connect_timeout_s=30, timeout_s=30)

    redis.ping(client)

    assert limiter.count(Allowance("door", 1, 60), "key")
    client.close()


async def test_our_async_client_uses_password_and_tls(
    protected: str, certificates: Certificates
) -> None:
    client = redis.connect_async(trusting(protected, certificates.authority))

    assert await client.ping()
    await client.aclose()


def test_broker_uses_password_and_tls(protected: str, certificates: Certificates) -> None:
    ping_as_celery(trusting(protected, certificates.authority))


@pytest.mark.parametrize("setting", ["broker", "streams", "cache"])
def test_certificates_are_looked_at_unless_somebody_says_not_to(setting: str) -> None:
    urls = {
        "rediss://host:6380/0": "rediss://host:6380/0?ssl_cert_reqs=required",
        "rediss://host/0?ssl_ca_certs=ca": "rediss://host/0?ssl_ca_certs=ca&ssl_cert_reqs=required",
        "rediss://host/0?ssl_cert_reqs=none": "rediss://host/0?ssl_cert_reqs=none",
        "redis://host/0": "redis://host/0",
    }

    for given, used in urls.items():
        chosen = Settings(_env_file=None, **{f"{setting}_url": SecretStr(given)})  # type: ignore[arg-type]
        assert getattr(chosen, setting) == used


def test_password_of_a_named_host_is_quoted(locked: Valkey) -> None:
    chosen = Settings(
        _env_file=None,
        redis_host="127.0.0.1",
        redis_port=locked.port,
        redis_password=SecretStr(PASSWORD),
    )

    redis.ping(redis.connect(chosen.broker))
    ping_as_celery(chosen.broker)
    assert PASSWORD not in repr(chosen)


@pytest.mark.parametrize("change", [(QUOTED, "guess"), (f":{QUOTED}@", "")])
def test_strangers_are_kept_out(
    protected: str, certificates: Certificates, change: tuple[str, str]
) -> None:
    url = trusting(protected.replace(*change), certificates.authority)

    with pytest.raises(RedisDown):
        redis.ping(redis.connect(url))
    with pytest.raises(OperationalError):
        ping_as_celery(url)
    with pytest.raises(ServerUnreachable, match="refuses the login"):
        check_servers(settings(url))


def test_server_that_nobody_vouches_for_is_not_told_the_password(protected: str) -> None:
    chosen = settings(protected)

    with pytest.raises(RedisDown):
        redis.ping(redis.connect(chosen.broker))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        ping_as_celery(chosen.broker)
    with pytest.raises(ServerUnreachable, match="certificate is not trusted: ") as told:
        check_servers(chosen)
    assert QUOTED not in told.value.detail


def test_server_with_anothers_certificate_is_not_told_the_password(pretended: str) -> None:
    chosen = settings(pretended)

    with pytest.raises(RedisDown):
        redis.ping(redis.connect(chosen.broker))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        ping_as_celery(chosen.broker)
    with pytest.raises(ServerUnreachable, match=r"certificate is not trusted: .*not valid for"):
        check_servers(chosen)
