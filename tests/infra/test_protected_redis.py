"""A Redis that wants a password, behind TLS, as the three settings name it."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from celery import Celery
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra import redis
from infra.limiter import Allowance, Limiter
from infra.redis import RedisDown
from tests.support.valkey import Valkey

PASSWORD = "p@ss/w#rd"
QUOTED = "p%40ss%2Fw%23rd"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def protected(valkey: Valkey, certificate: Path) -> Iterator[str]:
    """The URL of a Redis with password and TLS."""
    with valkey.client() as plain:
        plain.config_set("requirepass", PASSWORD)
    door = _TlsDoor(certificate, valkey.port)
    yield f"rediss://:{QUOTED}@127.0.0.1:{door.port}/0?ssl_ca_certs={certificate}"
    door.close()
    with redis_py.Redis(port=valkey.port, password=PASSWORD) as own:
        own.config_set("requirepass", "")


class _TlsDoor:
    """Ends TLS in front of a port, since the packaged Valkey is built without it."""

    def __init__(self, certificate: Path, target: int) -> None:
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        opening = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(5)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_pump(reader, outer), _pump(inner, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(65536):
        sink.write(chunk)
        await sink.drain()
    sink.close()


def test_our_clients_use_password_and_tls(protected: str) -> None:
    client = redis.connect(protected)
    limiter = Limiter(protected, connect_timeout_s=2, timeout_s=2)

    redis.ping(client)

    assert limiter.count(Allowance("door", 1, 60), "key")
    client.close()


async def test_our_async_client_uses_password_and_tls(protected: str) -> None:
    client = redis.connect_async(protected)

    assert await client.ping()
    await client.aclose()


def test_broker_uses_password_and_tls(protected: str) -> None:
    app = Celery("door", broker=protected)

    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        channel: Any = connection.channel()
        assert channel.client.ping()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("?ssl_ca_certs=", "?x="), "a certificate that nobody vouches for"),
        ((QUOTED, "guess"), "a wrong password"),
        ((f":{QUOTED}@", ""), "no password"),
    ],
)
def test_strangers_are_kept_out(protected: str, change: tuple[str, str], why: str) -> None:
    url = protected.replace(*change).split("?x=")[0]

    with pytest.raises(RedisDown):
        redis.ping(redis.connect(url))
