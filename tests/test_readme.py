"""The README's first tour, run as it is printed: a reader must see what it promises."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.db import Database, open_database
from tests.support.leases import let_goods_leave
from tests.support.processes import PYTHON, ROOT, Child, Nursery, eventually, free_port

README = (ROOT / "README.md").read_text()
TOUR = README.partition("\n## A first tour\n")[2].partition("\n## ")[0]
PRINTED_ADDRESS = "localhost:8012"
PATIENCE_S = 60
# Figures, and what follows from the hour: only their kind is promised.
MOVING = frozenset({"c", "d", "dp", "h", "l", "o", "pc", "t", "age_s", "session"})
_VARYING = (
    (re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"), "<instant>"),
    (re.compile(r"^[0-9a-f]{16}$"), "<request id>"),
    (re.compile(r"^http://127\.0\.0\.1:\d+/images/1\.svg$"), "<picture beside the stand-in>"),
)


@dataclass(frozen=True)
class Example:
    """A command with what the README shows of its output."""

    command: str
    shown: str

    @property
    def only_reads(self) -> bool:
        return "-X" not in self.command

    @property
    def shows_paid(self) -> bool:
        return '"status":"paid"' in self.shown


def _examples(text: str) -> Iterator[Example]:
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.split("\n")
            last = next(n for n, line in enumerate(lines) if not line.endswith("\\"))
            yield Example("\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :]).strip())


EXAMPLES = list(_examples(TOUR))
STREAM, STEPS = EXAMPLES[0], EXAMPLES[1:]


@dataclass(frozen=True)
class Tour:
    """A run to try the examples on, and what its event stream has said so far."""

    address: str
    stream: Child
    database: Database

    def run(self, example: Example) -> str:
        command = example.command.replace(PRINTED_ADDRESS, self.address)
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.strip()


@pytest.fixture
def tour(processes: Nursery, tmp_path: Path) -> Iterator[Tour]:
    api_port = free_port()
    run_file = tmp_path / "var" / "run.json"
    env = {
        "API_PORT": str(api_port),
        "FLOWER_PORT": str(free_port()),
        "DATA_DIR": str(run_file.parent),
        "FULFILMENT_DELAY_S": "600",
    }
    run = processes.start("up", [PYTHON, "-m", "cli", "up"], env=env)
    run.wait_until(lambda: run_file.exists() and json.loads(run_file.read_text())["ready"])
    address = f"localhost:{api_port}"
    stream = processes.start(
        "curl", ["sh", "-c", f"exec {STREAM.command.replace(PRINTED_ADDRESS, address)}"]
    )
    stream.wait_until(lambda: "event: ready" in stream.log())
    database = open_database(f"sqlite:///{run_file.parent / 'tradepost.db'}")
    yield Tour(address, stream, database)
    database.engine.dispose()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples call curl")
def test_first_tour_shows_what_the_readme_prints(tour: Tour) -> None:
    promised = _headlines(STREAM.shown)
    for example in STEPS:
        _expect(tour, example)

    eventually(lambda: _headlines(tour.stream.log())[: len(promised)] == promised)


def test_tour_begins_with_the_stream_and_places_orders() -> None:
    assert "/events?" in STREAM.command
    assert sum("/orders/ " in example.command for example in STEPS) >= 3


def _expect(tour: Tour, example: Example) -> None:
    def prints_what_is_promised() -> bool:
        if not example.shows_paid:
            let_goods_leave(tour.database)
        assert _fixed(tour.run(example)) == _fixed(example.shown), example.command
        return True

    if example.only_reads:  # what a worker does meanwhile takes its time
        eventually(prints_what_is_promised, PATIENCE_S, tolerate=(AssertionError,), interval_s=0.1)
    else:
        prints_what_is_promised()


def _fixed(text: str) -> Any:
    """Reduce an output to what every run has in common."""
    try:
        return _common(json.loads(text))
    except ValueError:
        return text


def _common(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _common(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_common(item) for item in value]
    if name in MOVING:
        return "<number>" if isinstance(value, int | float) else "<text>"
    if isinstance(value, str):
        return next((mark for pattern, mark in _VARYING if pattern.match(value)), value)
    return value


def _headlines(stream: str) -> list[str]:
    return [line for line in stream.splitlines() if line.startswith(("event: ", "id: "))]
