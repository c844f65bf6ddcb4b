"""New passwords for the servers while callers call, step by step as docs/security.md says."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest
import redis

from infra.db import DatabaseDown, open_database, ping
from infra.redis import RedisDown, connect
from infra.redis import ping as ping_redis
from tests.conftest import SECRET_KEY
from tests.support.fleet import Fleet
from tests.support.http import plain_client
from tests.support.mariadb import MariaDB
from tests.support.processes import Nursery, eventually
from tests.support.valkey import Valkey

OLD, NEW = "the-old-password", "the-new-password"


class Callers:
    """Somebody who calls one address after the other, each time over a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[tuple[str, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def heard_from(self, url: str) -> bool:
        return (url, httpx.codes.OK) in self.answers[-2:]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # also when the test has failed: it would call for ever
        self._thread.join()

    def _call(self) -> None:
        while not self._over.is_set():
            url = self.url
            with plain_client(url) as http:
                try:
                    status = http.get("/products/").status_code
                except httpx.HTTPError:
                    status = 0
            self.answers.append((url, status))


@pytest.fixture
def redis_server(valkey: Valkey) -> Iterator[Valkey]:
    """A Redis that wants the old password."""
    with valkey.client() as keeper:
        keeper.config_set("requirepass", OLD)
        yield valkey
        keeper.execute_command("ACL", "SETUSER", "default", "nopass")


def grant(server: MariaDB, name: str, password: str) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE USER {name}@'%' IDENTIFIED BY '{password}'")
        cursor.execute(f"GRANT ALL ON `%`.* TO {name}@'%'")


def drop(server: MariaDB, name: str) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER {name}@'%'")


def sell(url: str) -> None:
    with plain_client(url) as http:
        http.post("/products/", json={"name": "Lamp", "price": 5}).raise_for_status()


def test_passwords_of_servers_change_and_every_caller_is_answered(
    mariadb: MariaDB,
    database_url: str,
    redis_server: Valkey,
    processes: Nursery,
    tmp_path: Path,
) -> None:
    def urls(user: str, password: str) -> dict[str, str]:
        _, _, where = database_url.rpartition("@")
        return {
            "DATABASE_URL": f"mysql+pymysql://{user}:{password}@{where}",
            "BROKER_URL": f"redis://:{password}@127.0.0.1:{redis_server.port}/0",
        }

    grant(mariadb, "shop_old", OLD)
    env = {"AUTH_MODE": "open", "SECRET_KEY": SECRET_KEY, "DATA_DIR": str(tmp_path)}
    fleet = Fleet(processes, {**env, **urls("shop_old", OLD)}, tmp_path)
    before = fleet.api()
    sell(before.url)
    with Callers(before.url) as callers:
        eventually(lambda: callers.heard_from(before.url))

        grant(mariadb, "shop_new", NEW)
        with redis.Redis(port=redis_server.port, password=OLD) as own:
            own.execute_command("ACL", "SETUSER", "default", f">{NEW}")
        after = fleet.api(env=urls("shop_new", NEW))
        callers.url = after.url
        eventually(lambda: callers.heard_from(after.url))
        assert before.child.stop() in (0, -signal.SIGTERM)
        drop(mariadb, "shop_old")
        with redis.Redis(port=redis_server.port, password=NEW) as own:
            own.execute_command("ACL", "SETUSER", "default", f"<{OLD}")
        seen = len(callers.answers)
        eventually(lambda: len(callers.answers) > seen + 3)

    assert {status for _, status in callers.answers} == {httpx.codes.OK}
    sell(after.url)
    with plain_client(after.url) as http:
        assert http.get("/readyz").json()["parts"]["broker"]["ok"]
    with pytest.raises(DatabaseDown):
        ping(open_database(urls("shop_old", OLD)["DATABASE_URL"]).engine)
    with pytest.raises(RedisDown):
        ping_redis(connect(urls("shop_old", OLD)["BROKER_URL"]))
    after.child.kill_hard()
    drop(mariadb, "shop_new")
