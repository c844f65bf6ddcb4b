"""The house rules that no linter knows: data stays data, and nothing grows without bound."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "workers", "shop", "market", "accounts", "infra", "sandbox", "cli")
MODULE_LINES = 400
FUNCTION_LINES = 40
DATA_MODULES = ("celeryconfig.py", "beat_schedule.py")
DATA_IMPORTS = ("kombu", "celery.schedules")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@pytest.mark.parametrize("name", DATA_MODULES)
def test_data_modules_hold_only_assignments(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text())

    others = [
        ast.unparse(statement)
        for statement in _after_docstring(tree)
        if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom)
    ]

    assert ast.get_docstring(tree)
    assert others == []


@pytest.mark.parametrize("name", DATA_MODULES)
def test_data_modules_import_nothing_of_the_application(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text())

    forbidden = [module for module in _imported(tree) if not _is_allowed_in_data(module)]

    assert forbidden == []


@pytest.mark.parametrize("name", DATA_MODULES)
def test_data_modules_define_no_behaviour(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text())

    behaviour = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, Definition | ast.Lambda | ast.Await | ast.Yield | ast.YieldFrom)
    ]

    assert behaviour == []


def test_no_module_is_longer_than_allowed() -> None:
    offenders = {
        _name(path): lines
        for path in _modules()
        if (lines := len(path.read_text().splitlines())) > MODULE_LINES
    }

    assert offenders == {}


def test_no_function_is_longer_than_allowed() -> None:
    offenders = {
        f"{_name(path)}:{node.lineno} {node.name}": lines
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _length(node)) > FUNCTION_LINES
    }

    assert offenders == {}


def test_everything_public_says_what_it_is_for() -> None:
    offenders = [
        f"{_name(path)}:{line} {name}"
        for path in _modules()
        for line, name in _undocumented(ast.parse(path.read_text()))
    ]

    assert offenders == []


def test_nothing_is_left_unwritten() -> None:
    offenders = [
        f"{_name(path)}:{node.lineno}"
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]

    assert offenders == []


def _modules() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert found
    return found


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _after_docstring(tree: ast.Module) -> list[ast.stmt]:
    return tree.body[1:] if ast.get_docstring(tree) else tree.body


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def _is_allowed_in_data(module: str) -> bool:
    top, _, _rest = module.partition(".")
    return top in sys.stdlib_module_names or module in DATA_IMPORTS or top == "kombu"


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _undocumented(tree: ast.Module) -> Iterator[tuple[int, str]]:
    if ast.get_docstring(tree) is None:
        yield 1, "module"
    for node in _public(tree):
        if ast.get_docstring(node) is None:
            yield node.lineno, node.name


def _public(scope: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for node in scope.body:
        if not isinstance(node, Definition) or node.name.startswith("_") or _is_variant(node):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public(node)


def _is_variant(node: Definition) -> bool:
    """Tell a setter, or a signature for the type checker, from a definition of its own."""
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(name.endswith((".setter", "overload", "override")) for name in names)
