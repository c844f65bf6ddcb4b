"""An API before the benchmark's database: ours or the one by hand, with somebody signed in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accounts import families, users
from accounts.tables import Role
from accounts.tokens import Signing
from bench.servers import Peers
from infra import clock
from infra.db import Database, transact
from shop import products
from shop.products import Draft
from tests.support.http import answers_ok
from tests.support.processes import PYTHON, free_port

_SECRET_KEY = "only-for-benchmarks-and-long-enough"


@dataclass(frozen=True)
class Front:
    """Where an API answers."""

    port: int

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def front(peers: Peers, application: str, path: str, **env: str) -> Iterator[Front]:
    """Serve an application while the block lasts; it is ready when `path` answers."""
    made = Front(free_port())
    settings = {"SECRET_KEY": _SECRET_KEY, "AUTH_MODE": "required", "LOG_LEVEL": "WARNING"}
    command = ["uvicorn", application, "--port", str(made.port), "--no-access-log"]
    with peers.nursery.group():
        child = peers.nursery.start(
            "front", [PYTHON, "-m", *command], env={**peers.env, **settings, **env}
        )
        child.wait_until(lambda: answers_ok(made.url + path))
        yield made


def customer(database: Database, name: str) -> str:
    """Make a customer and sign him in; return his access token."""
    user_id = transact(
        database.sessions,
        lambda session: (
            users.register(
                session,
                email=f"{name}@example.com",
                name=name,
                password_hash="none",
                role=Role.USER,
            ).id
        ),
    )
    issued = transact(
        database.sessions,
        lambda session: families.begin(
            session, Signing(_SECRET_KEY), user_id=user_id, now=clock.now(session)
        ),
    )
    return issued.access_token


def product(database: Database) -> int:
    """Put a product on sale of which there is enough; return its id."""
    draft = Draft(name="A thing", price_minor=5000, currency="USD")
    return transact(
        database.sessions,
        lambda session: products.create(session, draft, quantity=10**9).product.id,
    )
