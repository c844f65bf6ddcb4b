"""Generated requests, sound and broken, against the whole OpenAPI document, with workers behind.

Every check of schemathesis is on but those of `LEFT_OUT`.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Config, GenerationMode, Response
from schemathesis.checks import CHECKS, load_all_checks

from accounts import families
from accounts.tables import Role, User
from accounts.tokens import Signing
from api.main import create_app
from infra import clock
from infra.db import Database, open_database, transact
from tests.api.conftest import SECRET_KEY, Api, Starter
from tests.support.fleet import Fleet
from tests.support.processes import Nursery, eventually
from tests.support.sandbox import Sandbox
from tests.support.sse import is_followed
from tests.support.valkey import Valkey

load_all_checks()
LEFT_OUT = {
    # What a schema cannot say is refused all the same: a cursor that we did not give out, text with
    # control characters, a symbol with a blank in it, an order of nothing.
    "positive_data_acceptance",
    # These compare one call with another before it, which only stateful runs make. The table of
    # test_every_route.py says who sees whose things, and what is left of a thing that is gone.
    "use_after_free",
    "ensure_resource_availability",
    "object_level_authorization",
}
CHECKED = CHECKS.get_by_names(sorted(set(CHECKS.get_all_names()) - LEFT_OUT))
# What the edge may answer to any request, before or after its endpoint looks at it.
AT_THE_EDGE = ("400", "401", "408", "413", "415")
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "410", "412", "413", "415", "422"]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
# What it says where a worker, Redis or a lock is waited for in vain, as on a busy machine.
LATE = (503, 504)
PATIENCE_S = 60.0
# Far from the small ids that are generated: the requests may remove and disable whom they find.
ADMIN_ID = 7_000_000_001


class Tried:
    """The API under test, and an admin who cannot be signed out for long."""

    def __init__(self, api: Api) -> None:
        self.url = api.url
        self._database: Database = open_database(api.database_url)
        with self._database.sessions.begin() as session:
            at = clock.now(session)
            session.add(
                User(
                    id=ADMIN_ID, email="root@example.com", name="Root", role=Role.ADMIN,
                    created_at=at, updated_at=at,
                )
            )  # fmt: skip
        self.headers = self.sign_in()

    def sign_in(self) -> dict[str, str]:
        """Sign in anew."""
        issued = transact(
            self._database.sessions,
            lambda session: families.begin(
                session, Signing(SECRET_KEY), user_id=ADMIN_ID, now=clock.now(session)
            ),
        )
        return {"Authorization": f"Bearer {issued.access_token}"}

    def close(self) -> None:
        """Let go of the database."""
        self._database.engine.dispose()


@pytest.fixture(scope="module")
def tried(
    api_of: Starter,
    nursery: Nursery,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tried]:
    home = tmp_path_factory.mktemp("tried")
    # Servers of its own: a worker on those of the session would take other tests' messages.
    sandbox, valkey = Sandbox(nursery, home / "sandbox"), Valkey(nursery, home)
    valkey.start()
    # Thousands of symbols are asked for: what is tried here is not the budget.
    limits = f"{sandbox.finnhub_url.removesuffix('/api/v1')}/admin/limits"
    requests.post(limits, json={"per_minute": None, "per_second": None}, timeout=PATIENCE_S)
    env = {
        "BROKER_URL": valkey.url(),
        **sandbox.env(),
        "FINNHUB_PER_MINUTE": "100000",
        "FINNHUB_PER_SECOND": "10000",
    }
    api = api_of("required", **env)
    worker = Fleet(nursery, {**env, "DATABASE_URL": api.database_url}, home).worker()
    made = Tried(api)
    eventually(lambda: is_followed(api.url), PATIENCE_S, what="the API follows the streams")
    thing: Any = {"name": "Thing", "price": 5}
    requests.post(f"{api.url}/products/", json=thing, headers=made.headers, timeout=PATIENCE_S)
    yield made
    made.close()
    for child in (worker, api.service.child):
        child.stop()
    sandbox.stop()
    valkey.stop()


def operations() -> list[Any]:
    """List the document's operations, each under its name, without the promise of any error."""
    plain = create_app().openapi()
    for operation in (one for item in plain["paths"].values() for one in item.values()):
        problem = operation["responses"].pop("default")
        for status in AT_THE_EDGE:
            operation["responses"].setdefault(status, problem)
    rejection = {"negative_data_rejection": {"expected-statuses": REFUSALS}}
    document: Any = schemathesis.openapi.from_dict(
        plain, config=Config.from_dict({"checks": rejection})
    )
    return [pytest.param(one.ok(), id=one.ok().label) for one in document.get_all_operations()]


@pytest.mark.parametrize("operation", operations())
def test_every_answer_is_as_the_document_says(operation: Any, tried: Tried) -> None:
    for mode in MODES:
        try_out(operation, mode, tried, examples=2)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", operations())
def test_every_answer_to_many_requests_is_as_the_document_says(
    operation: Any, tried: Tried
) -> None:
    for mode in MODES:
        try_out(operation, mode, tried, examples=60)


def try_out(operation: Any, mode: GenerationMode, tried: Tried, *, examples: int) -> None:
    @bounded(examples)
    @given(case=operation.as_strategy(generation_mode=mode))
    def try_it(case: Any) -> None:
        headers = tried.sign_in() if operation.label.endswith("/auth/logout") else tried.headers
        if operation.label == "GET /events":
            case.validate_response(beginning_of(case, tried.url, headers), checks=CHECKED)
        else:
            how = {"base_url": tried.url, "headers": headers, "timeout": PATIENCE_S}
            answer = answer_to(case, **how)
            case.validate_response(answer, CHECKED, headers=headers, transport_kwargs=how)

    try:
        try_it()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # nothing about this call can be broken
    me = requests.get(f"{tried.url}/auth/me", headers=tried.headers, timeout=PATIENCE_S)
    assert me.status_code == requests.codes.ok, "the requests have shut their own admin out"


def answer_to(case: Any, **how: Any) -> Response:
    """Send the request, and again while the API says that it had no answer in time."""

    def ask() -> list[Response]:
        answer = case.call(**how)
        return [] if answer.status_code in LATE else [answer]

    (answer,) = eventually(ask, PATIENCE_S)
    return answer


def beginning_of(case: Any, url: str, headers: dict[str, str]) -> Response:
    """Send the request and read the answer, of a stream no more than how it begins."""
    wish = case.as_transport_kwargs(base_url=url, headers=headers)
    with (
        requests.Session() as session,
        session.request(**wish, stream=True, timeout=PATIENCE_S) as answer,
    ):
        if answer.headers["content-type"].startswith("text/event-stream"):
            assert next(answer.iter_lines()).startswith(b"event: ")
            answer._content = b""  # noqa: SLF001 - the rest would never end
        return Response.from_requests(answer, verify=False)


def bounded(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
