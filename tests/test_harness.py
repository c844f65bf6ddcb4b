"""The suite's own servers, processes and proxy do what the tests that use them believe."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from infra.db import Database
from tests.support.databases import CleanDatabase
from tests.support.mariadb import MariaDB
from tests.support.processes import (
    PYTHON,
    Nursery,
    clean_environment,
    eventually,
    is_listening,
)
from tests.support.proxy import Proxy, Way
from tests.support.valkey import Valkey

ProxyTo = Callable[[int], Proxy]
WELL_KNOWN_PORTS = (3306, 6379)

_PARENT_OF_A_SESSION = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""
_PARENT_WITH_NURSERY = """
import sys, tempfile, time
from pathlib import Path
from tests.support.processes import Nursery
nursery = Nursery(Path(tempfile.mkdtemp()))
print(nursery.start("child", [sys.executable, "-c", "import time; time.sleep(600)"]).pid)
time.sleep(600)
"""


def test_mariadb_keeps_committed_rows_over_a_kill(mariadb: MariaDB) -> None:
    mariadb.create_database("kept")
    with mariadb.connect("kept") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE thing (id INT PRIMARY KEY) ENGINE=InnoDB")
        cursor.execute("INSERT INTO thing VALUES (1)")
    port = mariadb.port

    mariadb.kill()
    mariadb.restart()

    assert mariadb.port == port
    with mariadb.connect("kept") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM thing")
        assert cursor.fetchall() == ((1,),)


def test_a_dead_mariadb_is_alive_again_in_the_next_test(mariadb: MariaDB) -> None:
    mariadb.kill()
    assert not is_listening(mariadb.port)

    mariadb.revive()

    assert is_listening(mariadb.port)


def test_a_read_only_mariadb_refuses_the_application(mariadb: MariaDB) -> None:
    engine = sa.create_engine(mariadb.create_database("readonly"))
    mariadb.refuse_writes()

    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="read-only"):
        connection.execute(sa.text("CREATE TABLE thing (id INT PRIMARY KEY)"))

    mariadb.revive()
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE thing (id INT PRIMARY KEY)"))
    engine.dispose()


def test_mariadb_refuses_what_mysql_refuses(mariadb: MariaDB) -> None:
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.sql_mode, @@GLOBAL.character_set_server")
        row = cursor.fetchone()

    assert row is not None
    assert "ONLY_FULL_GROUP_BY" in row[0]
    assert row[1] == "utf8mb4"


def test_database_is_spoken_to_as_mysql(database: Database) -> None:
    assert not database.engine.dialect.insert_returning
    assert database.reads.kw["bind"].dialect is database.engine.dialect


def test_cleaning_restores_what_the_migrations_left(mariadb: MariaDB) -> None:
    mariadb.create_database("cleaned")
    with mariadb.connect("cleaned") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE parent (id INT PRIMARY KEY, twice INT AS (id * 2) STORED)")
        cursor.execute("CREATE TABLE child (parent_id INT REFERENCES parent (id))")
        cursor.execute("INSERT INTO parent (id) VALUES (1)")
        clean = CleanDatabase(mariadb, "cleaned")
        cursor.execute("UPDATE parent SET id = 5")
        cursor.execute("INSERT INTO parent (id) VALUES (2)")
        cursor.execute("INSERT INTO child VALUES (2)")

    clean.clean()

    with mariadb.connect("cleaned") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, twice FROM parent")
        assert cursor.fetchall() == ((1, 2),)
        cursor.execute("SELECT COUNT(*) FROM child")
        assert cursor.fetchone() == (0,)


def test_cleaning_waits_for_no_lock_of_a_test_before(mariadb: MariaDB) -> None:
    engine = sa.create_engine(mariadb.create_database("locked"))
    holder = engine.connect()
    holder.execute(sa.text("CREATE TABLE thing (id INT PRIMARY KEY)"))
    clean = CleanDatabase(mariadb, "locked")
    holder.execute(sa.text("INSERT INTO thing VALUES (1)"))
    holder.commit()
    holder.execute(sa.text("SELECT * FROM thing FOR UPDATE"))

    clean.clean()

    holder.invalidate()  # the server has closed it; nobody should try to roll it back
    engine.dispose()
    with mariadb.connect("locked") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM thing")
        assert cursor.fetchone() == (0,)


def test_sqlite_database_is_migrated(sqlite_database: Database) -> None:
    tables = sa.inspect(sqlite_database.engine).get_table_names()

    assert "alembic_version" in tables


def test_each_database_has_the_same_tables(database: Database, sqlite_database: Database) -> None:
    mysql = sa.inspect(database.engine).get_table_names()
    sqlite = sa.inspect(sqlite_database.engine).get_table_names()

    assert sorted(mysql) == sorted(sqlite)


def test_valkey_forgets_at_a_kill_and_keeps_its_port(valkey: Valkey) -> None:
    with valkey.client() as client:
        client.set("name", "value")
    port = valkey.port

    valkey.kill()
    valkey.restart()

    assert valkey.port == port
    with valkey.client() as client:
        assert client.get("name") is None


def test_valkey_with_an_append_only_file_remembers(processes: Nursery, tmp_path: Path) -> None:
    server = Valkey(processes, tmp_path, appendonly=True)
    server.start()
    with server.client() as client:
        client.set("name", "value")

    server.kill()
    server.restart()

    with server.client() as client:
        assert client.get("name") == "value"


def test_valkey_is_empty_at_the_start_of_each_test(valkey: Valkey) -> None:
    with valkey.client(db=2) as client:
        assert client.dbsize() == 0
        client.set("name", "value")

    valkey.revive()

    with valkey.client(db=2) as client:
        assert client.dbsize() == 0


def test_a_frozen_valkey_accepts_and_does_not_answer(valkey: Valkey) -> None:
    client = valkey.client()
    client.connection_pool.connection_kwargs["socket_timeout"] = 0.2
    valkey.freeze()

    with pytest.raises(redis.exceptions.TimeoutError):
        client.ping()

    valkey.thaw()
    with valkey.client() as patient:
        assert patient.ping()


def test_a_paused_valkey_answers_again(valkey: Valkey) -> None:
    started = time.monotonic()
    valkey.pause(duration_s=0.3)

    with valkey.client() as client:
        assert client.ping()

    assert time.monotonic() - started >= 0.2


def test_a_long_pause_does_not_reach_the_next_test(valkey: Valkey) -> None:
    valkey.pause(duration_s=60)

    valkey.revive()

    with valkey.client() as client:
        assert client.ping()


def test_no_server_uses_a_well_known_port(mariadb: MariaDB, valkey: Valkey) -> None:
    assert mariadb.port not in WELL_KNOWN_PORTS
    assert valkey.port not in WELL_KNOWN_PORTS


def test_a_kill_hard_takes_the_grandchildren_too(processes: Nursery) -> None:
    child = processes.start("parent", [PYTHON, "-c", _PARENT_OF_A_SESSION])
    grandchild = eventually(child.children)[0]

    child.kill_hard()

    eventually(lambda: not _lives(grandchild))


def test_a_child_dies_with_the_process_that_started_it(processes: Nursery) -> None:
    parent = processes.start("parent", [PYTHON, "-c", _PARENT_WITH_NURSERY])
    grandchild = int(eventually(lambda: parent.log().strip()))
    # Until it is the program itself, nobody has told the kernel whom it is tied to.
    command = Path(f"/proc/{grandchild}/cmdline")
    eventually(
        lambda: "time.sleep(600)" in command.read_text() and "setpriv" not in command.read_text()
    )

    parent.kill()

    eventually(lambda: not _lives(grandchild))


def test_a_child_that_ends_too_early_shows_its_log(processes: Nursery) -> None:
    child = processes.start("broken", [PYTHON, "-c", "raise SystemExit('no such setting')"])

    with pytest.raises(AssertionError, match="no such setting"):
        child.wait_until(lambda: False)


def test_a_child_sees_no_setting_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_HOST", "production")

    assert "MYSQL_HOST" not in clean_environment()


def test_what_never_comes_is_told_with_the_last_answer() -> None:
    with pytest.raises(AssertionError, match="last answer: 0"):
        eventually(lambda: 0, timeout_s=0.05)


def test_proxy_hands_through(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)

    with redis.Redis(port=proxy.port) as client:
        client.set("name", "x" * 1_000_000)
        assert client.strlen("name") == 1_000_000


def test_proxy_delays(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)
    link = _link(proxy)
    proxy.delay(0.1)
    started = time.monotonic()

    link.sendall(b"PING\r\n")

    assert link.recv(100) == b"+PONG\r\n"
    assert time.monotonic() - started >= 0.2


def test_proxy_resets_open_connections(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)
    link = _link(proxy)

    assert proxy.drop_connections() == 1

    with pytest.raises(ConnectionResetError):
        link.recv(1)


def test_proxy_resets_new_connections(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)
    proxy.reset()

    with pytest.raises(ConnectionResetError):
        _link(proxy)

    proxy.heal()
    _link(proxy).close()


def test_proxy_refuses_connections(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)
    proxy.refuse()

    with pytest.raises(ConnectionRefusedError):
        _link(proxy)

    proxy.heal()
    _link(proxy).close()


def test_blackhole_delivers_late_what_was_sent_meanwhile(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)
    link = _link(proxy)
    link.settimeout(0.2)
    proxy.blackhole()
    link.sendall(b"SET name value\r\n")
    with pytest.raises(TimeoutError):
        link.recv(1)

    link.settimeout(60)
    proxy.heal()

    assert link.recv(5) == b"+OK\r\n"


def test_cut_after_lets_part_of_an_answer_through(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)
    link = _link(proxy)
    proxy.cut_after(3)
    link.sendall(b"PING\r\n")

    assert link.recv(100) == b"+PO"
    with pytest.raises(ConnectionResetError):
        link.recv(1)


def test_cut_after_can_cut_a_request(valkey: Valkey, proxy_to: ProxyTo) -> None:
    proxy = proxy_to(valkey.port)
    link = _link(proxy)
    proxy.cut_after(8, way=Way.TO_SERVER)
    link.sendall(b"SET name value\r\n")

    with pytest.raises(ConnectionResetError):
        link.recv(1)

    with valkey.client() as client:
        assert client.get("name") is None


def test_cut_at_commit_keeps_the_rows_and_loses_the_answer(
    mariadb: MariaDB, proxy_to: ProxyTo
) -> None:
    proxy = proxy_to(mariadb.port)
    engine = sa.create_engine(proxy.url(mariadb.create_database("cut")))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE thing (id INT PRIMARY KEY)"))

    with engine.connect() as connection:
        connection.execute(sa.text("INSERT INTO thing VALUES (1)"))
        proxy.cut_at(b"COMMIT")
        with pytest.raises(sa.exc.OperationalError):
            connection.commit()

    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM thing")).scalar() == 1
    engine.dispose()


def _link(proxy: Proxy) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", proxy.port), timeout=60)
    link.sendall(b"PING\r\n")
    assert link.recv(100) == b"+PONG\r\n"
    return link


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed child of a killed parent stays in the table until init collects it.
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
