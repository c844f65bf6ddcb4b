"""Private servers, databases and processes for every test; nothing of the machine's own is used."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from infra.db import Database, open_database
from infra.process import die_with_parent
from infra.settings import Settings
from tests.support.databases import (
    CleanDatabase,
    SqliteFiles,
    another_door,
    mariadb_template,
    speak_as_mysql,
    sqlite_template,
)
from tests.support.fleet import Fleet
from tests.support.forks import Forks, forks_of
from tests.support.mariadb import MariaDB
from tests.support.processes import Nursery
from tests.support.proxy import Proxy
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

SECRET_KEY = "a-signing-key-for-tests-only-0123456789abcdef-0123"
_TAKES_LONG = {name: n for n, name in enumerate(("e2e", "faults", "browser", "workers", "api"))}
_NURSERIES = pytest.StashKey[list[Nursery]]()

hypothesis.settings.register_profile(
    "search",
    deadline=None,
    max_examples=60,
    print_blob=True,
    # Fixtures that outlive an example are this suite's servers and databases; tests that write
    # clean up by themselves.
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
    ],
)
# What nobody has seen before is looked for by the proofs: a change is judged by what it changes.
hypothesis.settings.register_profile(
    "same", hypothesis.settings.get_profile("search"), derandomize=True
)


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile(
        "search" if config.getoption("markexpr") == "proof" else "same"
    )
    # What a developer's shell or `.env` says must not reach a test.
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ["ENV_FILE"] = ""
    _write_plain_tracebacks()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # A worker in the middle of a test would outlive a killed controller, and its servers too.
        die_with_parent(os.getppid())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no worker is left alone with one at the end.

    Otherwise the order is by chance, as it was shuffled before.
    """
    items.sort(key=lambda item: _TAKES_LONG.get(item.path.parent.name, len(_TAKES_LONG)))


def _write_plain_tracebacks() -> None:
    """Let an error that is logged cost what its text does; drawn in colours it takes 0.1 s."""
    *before, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*before, plain])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for nursery in item.config.stash.get(_NURSERIES, []) if report.failed else []:
        report.sections.extend((f"log of {name}", text) for name, text in nursery.unseen_logs())
    return report


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are() -> Iterator[None]:
    """See that no test configures the logs of this process: those after it could not read them."""
    yield
    assert not structlog.get_config()["cache_logger_on_first_use"]


@pytest.fixture(scope="session")
def shared_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _own_tmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have what killed processes leave behind go with the session."""
    folder = tmp_path_factory.mktemp("tmp")
    before, tempfile.tempdir = os.environ.get("TMPDIR"), str(folder)
    os.environ["TMPDIR"] = str(folder)
    yield
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def nursery(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nursery]:
    """Starts child processes; ends what is left of them with the session."""
    yield from _nursery(request.config, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def servers_nursery(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nursery]:
    """Starts the servers that stand for the whole session.

    Apart from `nursery`, since a test may restart one, and must not end it with its own processes.
    """
    yield from _nursery(request.config, tmp_path_factory.mktemp("server-logs"))


def _nursery(config: pytest.Config, log_dir: Path) -> Iterator[Nursery]:
    nursery = Nursery(log_dir)
    config.stash.setdefault(_NURSERIES, []).append(nursery)
    yield nursery
    nursery.end_all()


@pytest.fixture
def processes(nursery: Nursery) -> Iterator[Nursery]:
    """Starts child processes; ends them with the test."""
    with nursery.group():
        yield nursery


@pytest.fixture(autouse=True)
def _fresh_logs(request: pytest.FixtureRequest) -> None:
    for nursery in request.config.stash.get(_NURSERIES, []):
        nursery.mark_logs_seen()


@pytest.fixture(scope="session")
def mariadb_server(
    servers_nursery: Nursery, shared_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MariaDB]:
    """This test worker's MariaDB. Tests ask for `mariadb`, which finds it in order."""
    data_dir = tmp_path_factory.mktemp("mariadb") / "data"
    shutil.copytree(mariadb_template(shared_dir), data_dir)
    server = MariaDB(servers_nursery, data_dir)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey_server(
    servers_nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Valkey]:
    """This test worker's Valkey. Tests ask for `valkey`, which finds it empty."""
    server = Valkey(servers_nursery, tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mariadb(mariadb_server: MariaDB) -> Iterator[MariaDB]:
    """A private MariaDB, running; whatever the test does to it ends with the test."""
    mariadb_server.revive()
    yield mariadb_server
    mariadb_server.revive()


@pytest.fixture
def valkey(valkey_server: Valkey) -> Iterator[Valkey]:
    """A private Valkey, running and empty; whatever the test does to it ends with the test."""
    valkey_server.revive()
    yield valkey_server
    valkey_server.revive()


@pytest.fixture(scope="session")
def _clean_database(mariadb_server: MariaDB) -> CleanDatabase:
    return CleanDatabase(mariadb_server)


@pytest.fixture
def database_url(mariadb: MariaDB, _clean_database: CleanDatabase) -> str:
    """The URL of a clean, migrated MariaDB database."""
    _clean_database.clean()
    return _clean_database.url


@pytest.fixture(scope="session")
def _opened(_clean_database: CleanDatabase) -> Database:
    database = open_database(_clean_database.url)
    speak_as_mysql(database.engine)
    return database


@pytest.fixture
def database(database_url: str, _opened: Database) -> Iterator[Database]:
    """A clean, migrated MariaDB database, spoken to as MySQL."""
    yield another_door(_opened)
    _opened.engine.dispose()


@pytest.fixture
def empty_database_url(mariadb: MariaDB) -> str:
    """The URL of a MariaDB database without a table."""
    return mariadb.create_database("unmigrated")


@pytest.fixture(scope="session")
def _sqlite_template(shared_dir: Path) -> Path:
    return sqlite_template(shared_dir)


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite file."""
    copy = tmp_path / "tradepost.db"
    shutil.copyfile(_sqlite_template, copy)
    return f"sqlite:///{copy}"


@pytest.fixture(scope="session")
def _sqlite_files(_sqlite_template: Path) -> SqliteFiles:
    return SqliteFiles(_sqlite_template)


@pytest.fixture
def sqlite_database(sqlite_url: str, _sqlite_files: SqliteFiles) -> Iterator[Database]:
    """A fresh, migrated SQLite file, opened as the embedded run opens it."""
    with _sqlite_files.opened(sqlite_url) as database:
        yield database


@pytest.fixture(params=["mariadb", "sqlite"])
def each_database(request: pytest.FixtureRequest) -> Database:
    """Both databases in turn, for what the embedded run depends on."""
    name = "database" if request.param == "mariadb" else "sqlite_database"
    database: Database = request.getfixturevalue(name)
    return database


@pytest.fixture
def sandbox(processes: Nursery, tmp_path: Path) -> Sandbox:
    """The stand-ins for gateway, Finnhub and feed, with an empty ledger."""
    return Sandbox(processes, tmp_path / "sandbox")


@pytest.fixture
def app_env(database_url: str, valkey: Valkey, sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """The environment of the application's processes, with private servers; no `AUTH_MODE`."""
    return {
        "DATABASE_URL": database_url,
        "BROKER_URL": valkey.url(0),
        "STREAMS_URL": valkey.url(1),
        "CACHE_URL": valkey.url(2),
        **sandbox.env(),
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": str(tmp_path / "var"),
        "LOG_FORMAT": "console",
    }


@pytest.fixture
def fleet(processes: Nursery, app_env: dict[str, str], tmp_path: Path) -> Fleet:
    """Starts workers, beat, API and Flower over `app_env`; ends them with the test."""
    work_dir = tmp_path / "fleet"
    work_dir.mkdir()
    return Fleet(processes, app_env, work_dir)


@pytest.fixture(scope="session")
def forks() -> Forks:
    """Runs commands in processes of their own, which need not import everything first."""
    needed = ("accounts.audit", "workers.payments", "workers.queues", "workers.retries")
    return forks_of("cli.app", *needed)


@pytest.fixture
def proxy_to() -> Iterator[Callable[[int], Proxy]]:
    """Put a proxy in front of a port: `proxy_to(mariadb.port)`."""
    proxies: list[Proxy] = []

    def start(port: int) -> Proxy:
        proxy = Proxy(port)
        proxies.append(proxy)
        return proxy

    yield start
    for proxy in proxies:
        proxy.close()
