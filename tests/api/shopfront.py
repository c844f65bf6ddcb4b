"""The shop as its callers see it: a real API over MariaDB, with nobody at work behind it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx

from accounts import families, users
from accounts.tables import Role
from accounts.tokens import Signing
from infra import clock
from infra.db import Database, transact
from tests.api.conftest import SECRET_KEY, Api
from tests.shop.stage import Shop
from tests.support.gateway import FakeGateway
from tests.support.processes import eventually
from tests.support.valkey import Valkey


@dataclass(frozen=True)
class Visitor:
    """A user, and a client that is signed in as he is."""

    id: int
    http: httpx.Client


class Shopfront(Shop):
    """A clean shop with an API before it."""

    def __init__(self, api: Api, database: Database) -> None:
        gateway = FakeGateway()
        gateway.name = "sandbox"
        super().__init__(database, gateway)
        self.api = api

    def stranger(self) -> httpx.Client:
        """Open a client that is not signed in."""
        return self.api.client()

    def visitor(self, role: Role = Role.USER) -> Visitor:
        """Make a user, without the seconds that passwords take."""
        user_id = transact(
            self.database.sessions,
            lambda session: (
                users.register(
                    session,
                    email=f"{role}@example.com",
                    name="Ada",
                    password_hash="none",
                    role=role,
                ).id
            ),
        )
        issued = transact(
            self.database.sessions,
            lambda session: families.begin(
                session, Signing(SECRET_KEY), user_id=user_id, now=clock.now(session)
            ),
        )
        return Visitor(user_id, self.api.client(issued.access_token))


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Read a problem's status and code; fail if the answer is no sound problem."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return answer.status_code, problem["code"]


def messages(valkey: Valkey, queue: str, *, again: Callable[[], object]) -> int:
    """Count what waits in a queue; a bell's first message may be on its way yet.

    A bell is lost where Redis has no turn for a third of a second: then `again` rings once more.
    """
    with valkey.client() as broker:
        for _ in range(10):
            with suppress(AssertionError):
                return eventually(lambda: int(broker.llen(queue)), 2)
            again()
        raise AssertionError(f"nothing waits in {queue}, however often it was rung")


def hush(operator: Visitor, valkey: Valkey) -> None:
    """Wait until all that was rung before is, and let nothing of it wait in a queue."""

    def ring() -> None:
        operator.http.post("/products/sync")

    ring()
    messages(valkey, "products", again=ring)
    with valkey.client() as broker:
        broker.flushall()
