import ast
import re
import subprocess
from pathlib import Path

import pytest

from beat_schedule import beat_schedule
from docs import make_schema
from tests.docs.pages import PAGES, anchors, blocks, code_spans, name_of, prose, rows
from tests.support.processes import ROOT

PACKAGES = ("api", "workers", "shop", "market", "accounts", "infra", "sandbox", "cli")
SWEEP_CELLS = 4
LONGEST_LINE = 120
FILE_ENDINGS = ("py", "md", "yml", "toml", "txt", "in", "json", "db", "log", "svg")
_DOTTED = re.compile(rf"(?<![\w/])(?:{'|'.join(PACKAGES)})(?:/[a-z_]+)+(?:\.[A-Za-z_]+)+")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]+)?\)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        f"{target}{anchor}"
        for target, anchor in _LINK.findall(prose(page))
        if not _leads_somewhere(page, target, anchor)
    ]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_code_exists(page: Path) -> None:
    named = {name for span in code_spans(page) for name in _DOTTED.findall(span)}

    assert sorted(name for name in named if not _exists(name)) == []


# What is made from the code has the lines that the code gives it.
@pytest.mark.parametrize("page", [it for it in PAGES if it != make_schema.PAGE], ids=name_of)
def test_prose_fits_beside_a_terminal(page: Path) -> None:
    wrapped = [line for line in prose(page).splitlines() if not line.startswith(("|", "!["))]

    assert [line for line in wrapped if len(line) > LONGEST_LINE] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [*code_spans(page), *"".join(blocks(page, "sh")).splitlines()]

    named = {match[1] for command in commands if (match := re.search(r"\bmake ([a-z-]+)", command))}

    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_of_tradepost_exist(page: Path) -> None:
    declared = r"app\.(?:command\(\)|add_typer)\((\w+)\."
    commands = set(re.findall(declared, (ROOT / "cli/app.py").read_text()))
    text = "\n".join([*code_spans(page), *blocks(page, "sh")])

    named = set(re.findall(r"(?:\btradepost|-m cli) ([a-z]+)\b", text))

    assert named <= commands


def test_sweeps_are_told_as_they_are_rung() -> None:
    table = [row for row in rows(ROOT / "docs/data-flow.md") if len(row) == SWEEP_CELLS]
    told = {task.strip("`"): every for task, _, every, _ in table if task.startswith("`")}
    canary = told.pop("canary.<queue>")

    rung = {entry["task"]: _span(float(str(entry["schedule"]))) for entry in beat_schedule.values()}

    canaries = {f"canary.{queue}": canary for queue in ("payments", "products", "market", "events")}
    assert told | canaries == rung


def test_every_decision_has_the_four_parts() -> None:
    for page in sorted((ROOT / "docs/adr").glob("0*.md")):
        headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)

        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], page.name


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs/adr/README.md").read_text()

    assert [
        page.name for page in (ROOT / "docs/adr").glob("0*.md") if page.name not in listed
    ] == []


def test_shell_examples_can_be_parsed() -> None:
    for page in PAGES:
        for block in blocks(page, "sh"):
            parsed = subprocess.run(
                ["bash", "-n"], input=block, capture_output=True, text=True, check=False
            )
            assert parsed.returncode == 0, f"{name_of(page)}: {parsed.stderr}"


def _span(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} min"


def _leads_somewhere(page: Path, target: str, anchor: str) -> bool:
    file = (page.parent / target).resolve() if target else page
    if not file.exists():
        return False
    return not anchor or anchor.removeprefix("#") in set(anchors(file))


def _exists(name: str) -> bool:
    """Tell whether `shop/checkout.place`, a class's method or a file is there."""
    path, *attributes = name.split(".")
    if attributes[0] in FILE_ENDINGS:
        return (ROOT / name).exists()
    module = ROOT / f"{path}.py"
    if not module.exists():
        return False
    scope: ast.Module | ast.ClassDef = ast.parse(module.read_text())
    for attribute in attributes:
        found = next((node for node in scope.body if _defines(node, attribute)), None)
        if found is None:
            return False
        if isinstance(found, ast.ClassDef):
            scope = found
    return True


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name == name
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)
