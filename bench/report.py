"""One table on the terminal and the same figures as JSON in `var/`."""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.servers import Peers, peers

Figures = dict[str, dict[str, float]]


def report(name: str, measure: Callable[[Peers], Figures]) -> None:
    """Measure on fresh servers, print a table and write `var/bench-<name>.json`."""
    load_before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="tradepost-bench-") as folder,
        peers(Path(folder)) as up,
    ):
        figures = measure(up)
    about = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load before": round(load_before, 2),
        "load after": round(os.getloadavg()[0], 2),
    }
    results = Path(f"var/bench-{name}.json")
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"about": about, **figures}, indent=2) + "\n")
    sys.stdout.write(f"\n{about}\n")
    for row, found in figures.items():
        sys.stdout.write(_line(row, found))
    sys.stdout.write(f"\nWritten to {results}.\n")


def _line(row: str, found: Mapping[str, float]) -> str:
    ours = found.get("ours")
    cells = [f"  {name:<22} {value:>12,.2f}" for name, value in found.items()]
    if ours is not None:
        for at, (name, value) in enumerate(found.items()):
            if name not in ("ours", "ratio"):
                cells[at] += f"   ours {ours / value:.2f}x"
    return "\n".join([f"\n{row}", *cells, ""])
