from typing import Any

import pytest

from api.main import create_app
from api.openapi import TAGS

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_every_call_is_described_under_a_described_tag(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in TAGS}

    without = [
        name
        for name, operation in operations(document)
        if not operation.get("description") or not set(operation.get("tags", [])) & described
    ]

    assert without == []


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    without = [
        f"{name}: {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]

    assert without == []


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    others = [
        f"{name} {status}"
        for name, operation in operations(document)
        for status, response in operation["responses"].items()
        if status.startswith(("4", "default"))
        and set(response["content"]) != {"application/problem+json"}
    ]

    assert others == []
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [ref for part in value.values() for ref in references(part)]
        return (
            [ref for part in value for ref in references(part)] if isinstance(value, list) else []
        )

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert set(references(document)) <= known


def test_document_is_made_once_and_stays_the_same(document: dict[str, Any]) -> None:
    app = create_app()

    assert app.openapi() == app.openapi() == document


def test_every_call_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]

    assert len(ids) == len(set(ids))
