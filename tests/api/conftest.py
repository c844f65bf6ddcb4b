"""The API as real processes, one for each AUTH_MODE, over SQLite and a private Valkey."""

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from accounts import families, users
from accounts.passwords import Passwords
from accounts.tables import Role
from accounts.tokens import Signing
from infra import clock
from infra.db import Database, open_database, transact
from tests.support.databases import sqlite_template
from tests.support.fleet import Fleet, Service
from tests.support.http import persistent_client
from tests.support.processes import Nursery
from tests.support.valkey import Valkey

SECRET_KEY = "a-signing-key-for-tests-only-0123456789abcdef-0123"
PASSWORD = "correct horse battery staple"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Api:
    """A running API and its database."""

    service: Service
    database_url: str

    @property
    def url(self) -> str:
        return self.service.url

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        """Open a client, signed in when there is a token."""
        client = persistent_client(self.url)
        client.headers.update(headers)
        if token is not None:
            client.headers["Authorization"] = f"Bearer {token}"
        return client

    def log(self) -> str:
        return self.service.child.log()


@dataclass(frozen=True)
class Person:
    """A registered user, signed in."""

    id: int
    email: str
    token: str


def register(api: Api, role: Role = Role.USER) -> Person:
    """Write a new user down beside the API, as if he had registered and signed in with it.

    The password is hashed once for all, which takes long.
    """
    email = f"person{next(_numbers)}@example.com"

    def add(session: Session) -> Person:
        made = users.register(
            session, email=email, name="Ada", password_hash=_hashed_password(), role=role
        )
        issued = families.begin(
            session, Signing(SECRET_KEY), user_id=made.id, now=clock.now(session)
        )
        return Person(id=made.id, email=email, token=issued.access_token)

    return transact(_beside(api.database_url).sessions, add)


def sign_in(client: httpx.Client, email: str, password: str = PASSWORD) -> str:
    """Get an access token."""
    answer = client.post("/auth/token", data={"username": email, "password": password})
    assert answer.status_code == httpx.codes.OK, answer.text
    token: str = answer.json()["access_token"]
    return token


@pytest.fixture(scope="session")
def api_of(
    nursery: Nursery,
    valkey_server: Valkey,
    shared_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["Starter"]:
    with nursery.group():
        yield Starter(nursery, valkey_server, shared_dir, tmp_path_factory)


class Starter:
    """Starts an API with a database of its own."""

    def __init__(
        self,
        nursery: Nursery,
        valkey: Valkey,
        shared_dir: Path,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        self._nursery = nursery
        self._valkey = valkey
        self._shared_dir = shared_dir
        self._tmp_path_factory = tmp_path_factory

    def __call__(self, auth_mode: str, *, grace_s: str = "3", **env: str) -> Api:
        self._valkey.start()
        home = self._tmp_path_factory.mktemp("api")
        shutil.copyfile(sqlite_template(self._shared_dir), home / "tradepost.db")
        settings = {
            "AUTH_MODE": auth_mode,
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": f"sqlite:///{home / 'tradepost.db'}",
            "BROKER_URL": self._valkey.url(),
            "SIGN_INS_PER_MINUTE": "100000",  # the tests all come from one address
            "LOG_FORMAT": "json",
            "DATA_DIR": str(home),
            "DASHBOARD_DIR": str(home / "no-dashboard"),
            **env,
        }
        fleet = Fleet(self._nursery, settings, home)
        return Api(fleet.api(path="/healthz", grace_s=grace_s), settings["DATABASE_URL"])


# An API is shared by many tests; one before may have ended the Redis it speaks to. Fixtures of a
# whole module come before those of a test, so they need a Redis of their own accord.
@pytest.fixture(scope="module", autouse=True)
def _redis_runs_for_the_module(valkey_server: Valkey) -> None:
    valkey_server.start()


@pytest.fixture(autouse=True)
def _redis_runs(valkey_server: Valkey) -> None:
    valkey_server.start()


@pytest.fixture(scope="session")
def closed_api(api_of: Starter) -> Api:
    """An API with AUTH_MODE=required."""
    return api_of("required")


@pytest.fixture(scope="session")
def open_api(api_of: Starter) -> Api:
    """An API with AUTH_MODE=open."""
    return api_of("open")


@pytest.fixture
def person(closed_api: Api) -> Person:
    """A user of his own for the test."""
    return register(closed_api)


@pytest.fixture
def admin(closed_api: Api) -> Person:
    """An admin of his own for the test."""
    return register(closed_api, Role.ADMIN)


@cache
def _beside(database_url: str) -> Database:
    return open_database(database_url)


@cache
def _hashed_password() -> str:
    return Passwords().hash(PASSWORD)
