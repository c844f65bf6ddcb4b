import re
from collections.abc import Iterator

from api.main import create_app
from tests.docs.pages import code_spans, name_of, rows
from tests.support.processes import ROOT

README = ROOT / "README.md"
_CALL = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?]*)(?:\?[^`]*)?`")


def _calls_of_the_api() -> Iterator[str]:
    for path, operations in create_app().openapi()["paths"].items():
        yield from (f"{method.upper()} {path}" for method in operations)


def test_readme_lists_every_call_and_no_other() -> None:
    listed = [" ".join(call) for cells in rows(README) if cells for call in _CALL.findall(cells[0])]

    assert sorted(listed) == sorted(_calls_of_the_api())


def test_other_pages_name_only_calls_that_exist() -> None:
    known = {_plain(call) for call in _calls_of_the_api()}

    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = " ".join(f"`{span}`" for span in code_spans(page))
        named = {_plain(" ".join(call)) for call in _CALL.findall(text)}
        assert named <= known, name_of(page)


def _plain(call: str) -> str:
    """Let names of parameters and a last slash make no difference."""
    return re.sub(r"\{\w+\}", "{}", call).rstrip("/")
