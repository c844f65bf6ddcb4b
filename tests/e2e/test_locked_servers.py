"""Servers that want passwords and TLS, under the whole application."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
import sqlalchemy as sa

from infra.db import DatabaseDown, open_database, ping
from tests.conftest import SECRET_KEY
from tests.support.certificates import Certificates, make_certificates
from tests.support.databases import mariadb_template
from tests.support.fleet import Fleet
from tests.support.http import plain_client
from tests.support.mariadb import PASSWORD, USER, MariaDB
from tests.support.processes import Nursery, eventually
from tests.support.tls_door import TlsDoor
from tests.support.valkey import Valkey

REDIS_PASSWORD = "only-for-tests"


class LockedMariaDB(MariaDB):
    """A MariaDB whose ordinary user must come by TLS."""

    def __init__(self, nursery: Nursery, data_dir: Path, certificates: Certificates) -> None:
        super().__init__(nursery, data_dir)
        self._certificates = certificates

    def start(self) -> None:
        super().start()
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"ALTER USER {USER}@'%' REQUIRE SSL")

    def _command(self) -> list[str | Path]:
        return [
            *super()._command(),
            f"--ssl-cert={self._certificates.server}",
            f"--ssl-key={self._certificates.server_key}",
        ]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def database_server(
    servers_nursery: Nursery,
    shared_dir: Path,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MariaDB]:
    data_dir = tmp_path_factory.mktemp("locked") / "data"
    shutil.copytree(mariadb_template(shared_dir), data_dir)
    server = LockedMariaDB(servers_nursery, data_dir, certificates)
    server.start()
    server.create_database("shop")
    yield server
    server.stop()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture
def redis_url(valkey: Valkey, certificates: Certificates) -> Iterator[str]:
    with valkey.client() as plain:
        plain.config_set("requirepass", REDIS_PASSWORD)
    door = TlsDoor(certificates.server, valkey.port)
    yield f"rediss://:{REDIS_PASSWORD}@127.0.0.1:{door.port}/0?ssl_ca_certs={certificates.authority}"
    door.close()
    with redis.Redis(port=valkey.port, password=REDIS_PASSWORD) as own:
        own.config_set("requirepass", "")


def url_of(server: MariaDB, authority: Path | None) -> str:
    trust = f"?ssl_ca={authority}" if authority else "?ssl_disabled=true"
    return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{server.port}/shop{trust}"


def opened(url: str) -> sa.Engine:
    return open_database(url.replace("mysql://", "mysql+pymysql://")).engine


def test_database_is_spoken_to_by_tls(database_server: MariaDB, certificates: Certificates) -> None:
    engine = opened(url_of(database_server, certificates.authority))

    with engine.connect() as connection:
        cipher = connection.execute(sa.text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1]

    assert cipher.startswith("TLS_")
    engine.dispose()


def test_database_that_nobody_vouches_for_is_out_of_reach(
    database_server: MariaDB, strangers: Certificates
) -> None:
    with pytest.raises(DatabaseDown) as refused:
        ping(opened(url_of(database_server, strangers.authority)))

    assert "certificate verify failed" in str(refused.value.__cause__)
    assert PASSWORD not in str(refused.value.__cause__)


def test_plain_text_is_refused_by_the_server(database_server: MariaDB) -> None:
    with pytest.raises(DatabaseDown):
        ping(opened(url_of(database_server, None)))


@pytest.mark.proof
@pytest.mark.timeout(180)
def test_whole_application_works_behind_passwords_and_tls(
    database_server: MariaDB,
    redis_url: str,
    certificates: Certificates,
    processes: Nursery,  # ends before Redis does
    tmp_path: Path,
) -> None:
    env = {
        "DATABASE_URL": url_of(database_server, certificates.authority),
        "BROKER_URL": redis_url,
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": str(tmp_path),
        "GATEWAY_URL": "http://127.0.0.1:9",
    }
    fleet = Fleet(processes, env, tmp_path)
    assert fleet.run("migrate", ["-m", "cli", "migrate"]).wait(60) == 0

    worker = fleet.worker(("payments", "events"), concurrency=1)
    api = fleet.api()

    with plain_client(api.url) as http:
        person = {"email": "ada@example.com", "password": "correct horse", "name": "Ada"}
        assert http.post("/auth/register", json=person).status_code == httpx.codes.CREATED
        form = {"username": person["email"], "password": person["password"]}
        token = http.post("/auth/token", data=form).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        assert http.post("/payments/start").status_code == httpx.codes.ACCEPTED
    with redis.Redis.from_url(redis_url, decode_responses=True) as broker:
        eventually(lambda: not broker.exists("bell:payments.settle"), what="the worker was rung")
    assert worker.is_running
    assert REDIS_PASSWORD not in worker.log() + api.child.log()
