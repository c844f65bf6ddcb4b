"""The OpenAPI document: what FastAPI finds out by itself, with errors as they really are."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api import deps
from api.errors import MEDIA_TYPE, Problem, problems

DESCRIPTION = """A shop and a market-data feed on one backbone.

Errors are `application/problem+json` (RFC 9457) with a stable `code`. Lists are paged by the
`Link` header. `X-Request-ID` is taken from you or made, and comes back."""

TAGS = [
    {"name": "people", "description": "Signing up and in; users and their roles."},
    {"name": "products", "description": "The catalogue and its stock."},
    {"name": "orders", "description": "Buying: price, stock, payment, delivery."},
    {"name": "payments", "description": "What was charged and given back."},
    {"name": "market", "description": "Quotes, companies, news, currencies and coins."},
    {"name": "events", "description": "Every committed change, live and in order."},
    {"name": "operations", "description": "Tasks and queues, for those who run the shop."},
    {"name": "probes", "description": "For operators and their tools."},
]
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def install(app: FastAPI) -> None:
    """Let the application's document tell errors as problems, and who needs a token."""
    plain = app.openapi
    # The way that FastAPI's manual gives: https://fastapi.tiangolo.com/how-to/extending-openapi/
    app.openapi = lambda: _completed(plain(), app)  # type: ignore[method-assign]


def _completed(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    if "Problem" in schemas:  # FastAPI keeps the document and gives the same one again
        return document
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schemas["Problem"].pop("$defs", {}))
    for operations in document["paths"].values():
        for operation in operations.values():
            _tell_problems(operation["responses"])
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            asked = set(_asked(route.dependant))
            for method in route.methods or ():
                _tell_access(document["paths"][route.path_format][method.lower()], asked)
    return document


def _asked(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _asked(dependency)


def _tell_access(operation: dict[str, Any], asked: set[Callable[..., Any] | None]) -> None:
    """Say whether a token is needed; where it is only looked at, FastAPI would say that too."""
    if not asked & deps.NEED_A_TOKEN:
        if "security" in operation:
            operation["security"] = [{}, *operation["security"]]
        return
    refusals = problems(
        deps.TokenRequired, *([deps.RoleRequired] if asked & deps.NEED_A_ROLE else [])
    )
    for status, refusal in refusals.items():
        operation["responses"].setdefault(str(status), refusal)


def _tell_problems(responses: dict[str, Any]) -> None:
    invalid = responses.get("422")
    if invalid and MEDIA_TYPE not in invalid.get("content", {}):
        responses["422"] = {"description": "A field was refused.", "content": _PROBLEM}
    responses["default"] = {"description": "Any other error.", "content": _PROBLEM}
