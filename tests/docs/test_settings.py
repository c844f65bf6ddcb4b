from decimal import Decimal
from enum import Enum
from pathlib import Path

from infra.settings import Settings
from tests.docs.pages import rows
from tests.support.processes import ROOT

PAGE = ROOT / "docs/settings.md"
DESCRIBED = {cells[0].strip("`"): cells[1] for cells in rows(PAGE) if cells[0].strip("`").isupper()}
# Their defaults follow from another setting or from a constant beside the class.
DERIVED = {
    "STREAMS_URL": "the broker's",
    "CACHE_URL": "the broker's",
    "FINNHUB_BASE_URL": "`https://finnhub.io/api/v1`",
}


def test_every_setting_is_described_in_order() -> None:
    assert list(DESCRIBED) == [name.upper() for name in Settings.model_fields]


def test_defaults_are_those_of_the_code() -> None:
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}

    shown = {name: _shown(value) for name, value in defaults.items()}
    assert {**shown, **DERIVED} == DESCRIBED


def _shown(default: object) -> str:
    match default:
        case None:
            return ""
        case Enum(value=value):
            return f"`{value}`"
        case tuple():
            return f"`{','.join(default)}`"
        case bool():
            return f"`{str(default).lower()}`"
        case str() | int() | float() | Decimal() | Path():
            return f"`{default}`"
        case _:
            raise AssertionError(default)
