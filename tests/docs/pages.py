"""The project's own pages, for the tests that hold them against the code."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)


def name_of(page: Path) -> str:
    """Name a page as a reader would."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Take the fenced blocks of one language out of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Leave out fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def code_spans(page: Path) -> set[str]:
    """Take what stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", prose(page)))


def rows(page: Path) -> Iterator[list[str]]:
    """Give the cells of every table row."""
    for line in page.read_text().splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def anchors(page: Path) -> Iterator[str]:
    """Give what links may point to: the page's headings, as a browser's address has them."""
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
