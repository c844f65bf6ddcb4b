"""The OpenAPI document: what FastAPI finds out by itself, with errors as they really are."""

from typing import Any

from fastapi import FastAPI

from api.errors import MEDIA_TYPE, Problem

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
    """Let the application's document tell errors as problems."""
    plain = app.openapi
    # The way that FastAPI's manual gives: https://fastapi.tiangolo.com/how-to/extending-openapi/
    app.openapi = lambda: _with_problems(plain())  # type: ignore[method-assign]


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
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
    return document


def _tell_problems(responses: dict[str, Any]) -> None:
    invalid = responses.get("422")
    if invalid and MEDIA_TYPE not in invalid.get("content", {}):
        responses["422"] = {"description": "A field was refused.", "content": _PROBLEM}
    responses["default"] = {"description": "Any other error.", "content": _PROBLEM}
