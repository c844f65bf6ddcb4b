"""The published contract of the streams: sound, complete, and readable without a network."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.api.conftest import Api
from tests.support import contract
from tests.support.processes import ROOT
from workers.topics import KINDS, TOPICS

SCHEMA = ROOT / "tests/support/schemas/asyncapi-3.0.0.json"
CHANGED = {
    "specversion": "1.0",
    "id": "1-1",
    "source": "/tradepost/products",
    "type": "stock.changed",
    "subject": "stock/7",
    "version": "1",
    "time": "2026-11-22T01:37:21.873000Z",
    "datacontenttype": "application/json",
    "data": json.dumps(
        {
            "product_id": 7, "on_hand": 5, "reserved": 1, "available": 4, "version": 1,
            "updated_at": "2026-11-22T01:37:21.873000Z",
        }
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def served(closed_api: Api) -> dict[str, Any]:
    with closed_api.client() as client:
        document: dict[str, Any] = client.get("/asyncapi.json").json()
    return document


def test_document_is_sound_asyncapi(served: dict[str, Any]) -> None:
    faults = Draft7Validator(json.loads(SCHEMA.read_text())).iter_errors(served)

    assert [f"{fault.json_path}: {fault.message}" for fault in faults] == []


def test_every_topic_is_a_channel_and_every_type_a_message_on_it(served: dict[str, Any]) -> None:
    told = {
        name: set(channel["messages"])
        for name, channel in served["channels"].items()
        if name != "live"
    }

    assert told == {
        topic: {kind.name for kind in KINDS.values() if kind.topic == topic} for topic in TOPICS
    }


def test_every_reference_leads_somewhere(served: dict[str, Any]) -> None:
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(served))

    assert references
    for reference in references:
        found: Any = served
        for part in reference.split("/"):
            found = found[part]


def test_page_shows_every_event_and_needs_nothing_from_elsewhere(closed_api: Api) -> None:
    with closed_api.client() as client:
        page = client.get("/asyncapi")

    assert page.headers["content-type"].startswith("text/html")
    assert [name for name in KINDS if f"<code>{name}</code>" not in page.text] == []
    assert "<script" not in page.text
    assert re.findall(r'(?:src|href)="(?!#|/|data:)[^"]*"', page.text) == []
    assert "script-src 'self';" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    "change",
    [
        {"source": "/tradepost/orders"},
        {"type": "stock.gone"},
        {"subject": "products/7"},
        {"version": "0"},
        {"id": "7"},
        {"time": "yesterday"},
        {"specversion": "0.9"},
        {"data": "{}"},
        {"data": CHANGED["data"].replace("4", '"4"')},
        {"data": CHANGED["data"].replace("{", '{"more": 1, ')},
    ],
)
def test_entry_that_breaks_the_contract_is_noticed(change: dict[str, str]) -> None:
    contract.check_entry("products", CHANGED)

    with pytest.raises((AssertionError, ValueError)):
        contract.check_entry("products", {**CHANGED, **change})
