"""Generated requests, sound and broken, against the whole OpenAPI document."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks, not_a_server_error

from accounts.tables import Role
from api.main import create_app
from tests.api.conftest import Api, Person, Starter, register

load_all_checks()
# Calls that wait: a stream never ends, and nobody refreshes, syncs or compares behind this API.
WAITING = r"^/(events|market/|payments/reconciliation)"
# Would end the sign-in that the others need.
ENDING = r"^/auth/logout"
CHECKED = [
    not_a_server_error,
    *CHECKS.get_by_names(
        [
            "status_code_conformance",
            "content_type_conformance",
            "response_headers_conformance",
            "response_schema_conformance",
        ]
    ),
]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


def bounded(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def tried_api(api_of: Starter) -> Api:
    return api_of("required")


@pytest.fixture(scope="module")
def tried_admin(tried_api: Api) -> Person:
    """An admin of a shop that sells something: an empty one would wait for its feed."""
    admin = register(tried_api, Role.ADMIN)
    with tried_api.client(admin.token) as client:
        client.post("/products/", json={"name": "Thing", "price": 5})
    return admin


def operations() -> list[Any]:
    """List the document's operations, each under its name."""
    document: Any = schemathesis.openapi.from_dict(create_app().openapi())
    found = document.exclude(path_regex=f"{WAITING}|{ENDING}").get_all_operations()
    return [pytest.param(one.ok(), id=one.ok().label) for one in found]


@pytest.mark.parametrize("operation", operations())
def test_every_answer_is_as_the_document_says(
    operation: Any, tried_api: Api, tried_admin: Person
) -> None:
    for mode in MODES:
        _try(operation, mode, tried_api, tried_admin, examples=3)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", operations())
def test_every_answer_to_many_requests_is_as_the_document_says(
    operation: Any, tried_api: Api, tried_admin: Person
) -> None:
    for mode in MODES:
        _try(operation, mode, tried_api, tried_admin, examples=60)


def _try(operation: Any, mode: GenerationMode, api: Api, admin: Person, *, examples: int) -> None:
    @bounded(examples)
    @given(case=operation.as_strategy(generation_mode=mode))
    def try_it(case: Any) -> None:
        if isinstance(case.query, dict):
            case.query.pop("sync", None)  # nobody is there to sync
        case.call_and_validate(
            base_url=api.url,
            headers={"Authorization": f"Bearer {admin.token}"},
            checks=CHECKED,
        )

    try:
        try_it()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # nothing about this call can be broken
