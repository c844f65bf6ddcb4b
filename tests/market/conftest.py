from collections.abc import Callable, Iterator
from functools import partial

import pytest

from infra import redis
from infra.cache import Cache
from infra.db import Database
from infra.sharing.budget import CallBudget, Limits
from infra.sharing.refusals import Refusals
from infra.sharing.wanted import Wanted
from market.entitlements import Plan
from market.finnhub import Finnhub
from market.refresh import Desk
from tests.support.contract import checked_writers
from tests.support.http import plain_client
from tests.support.processes import Nursery
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

# The stand-in is another process, which a loaded machine may keep waiting for seconds.
PATIENT_S = 60


@pytest.fixture(autouse=True)
def _writers_keep_the_contract() -> Iterator[None]:
    with checked_writers():
        yield


@pytest.fixture(scope="session")
def key() -> str:
    return "the-key-that-nobody-may-see"


@pytest.fixture(scope="session")
def _standing_sandbox(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    sandbox = Sandbox(nursery, tmp_path_factory.mktemp("market-sandbox"))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(_standing_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The stand-ins without faults and with all counts at zero; Finnhub counts no limits."""
    if not _standing_sandbox.child.is_running:
        _standing_sandbox.restart()
    _standing_sandbox.reset()
    _switch(_standing_sandbox, "limits", per_minute=None, per_second=None)
    yield _standing_sandbox
    _switch(_standing_sandbox, "premium", enabled=False)


def _switch(sandbox: Sandbox, what: str, **body: object) -> None:
    with plain_client(sandbox.finnhub_url.removesuffix("/api/v1")) as http:
        http.post(f"/admin/{what}", json=body).raise_for_status()


@pytest.fixture
def switch(sandbox: Sandbox) -> Callable[..., None]:
    """Turns a switch of the stand-in: `switch("premium", enabled=True)`."""
    return partial(_switch, sandbox)


@pytest.fixture(scope="session")
def _standing_finnhub(_standing_sandbox: Sandbox, key: str) -> Iterator[Finnhub]:
    finnhub = Finnhub(_standing_sandbox.finnhub_url, key=key, deadline_s=PATIENT_S)
    yield finnhub
    finnhub.close()


@pytest.fixture
def finnhub(sandbox: Sandbox, _standing_finnhub: Finnhub) -> Finnhub:
    """The client of a sandbox without faults; it was made once, for it reads certificates."""
    return _standing_finnhub


@pytest.fixture
def make_desk(finnhub: Finnhub, valkey: Valkey) -> Callable[..., Desk]:
    """Builds desks over any database; the budget is wide unless told otherwise.

    They wait for answers, and what is settled stays so, for as long as a test may take.
    """

    def make(database: Database, *, per_minute: int = 60_000, per_second: int = 1000) -> Desk:
        client = redis.connect(valkey.url(2))
        return Desk(
            sessions=database.sessions,
            finnhub=finnhub,
            budget=CallBudget(client, name="finnhub", limits=Limits(per_minute, per_second)),
            plan=Plan(Refusals(client, name="market")),
            wanted=Wanted(client, name="market"),
            cache=Cache(client),
            source="simulated",
            on_the_way_s=PATIENT_S,
            settled_s=10 * PATIENT_S,
        )

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk], database: Database) -> Desk:
    return make_desk(database)
