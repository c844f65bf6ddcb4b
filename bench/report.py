"""Rows measured one after the other, each on servers of its own: on the terminal and in `var/`."""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.servers import Peers, peers

Run = Callable[[Peers], dict[str, float]]


def report(name: str, runs: Mapping[str, Run], chosen: Sequence[str]) -> None:
    """Measure what is chosen, everything if nothing is; say and write each row as it is known.

    `var/bench-<name>.json` has each row's figures, the seconds it took, and the machine's load of
    the last minute before it.
    """
    unknown = [row for row in chosen if row not in runs]
    if unknown:
        sys.exit(f"There is no row {unknown[0]!r}. There are: {', '.join(map(repr, runs))}.")
    results = Path(f"var/bench-{name}.json")
    results.parent.mkdir(exist_ok=True)
    about = {"cores": os.cpu_count(), "python": platform.python_version()}
    written: dict[str, Mapping[str, object]] = {"about": about}
    rows = chosen or list(runs)
    for n, row in enumerate(rows, start=1):
        sys.stdout.write(f"\n{row} ({n} of {len(rows)}) ...\n")
        sys.stdout.flush()
        load, begun = os.getloadavg()[0], time.monotonic()
        found = _measure(runs[row])
        took_s = round(time.monotonic() - begun)
        sys.stdout.write(_table(found) + f"  {took_s} s, load before {load:.2f}\n")
        written[row] = {**found, "seconds": took_s, "load before": round(load, 2)}
        results.write_text(json.dumps(written, indent=2) + "\n")
    sys.stdout.write(f"\nWritten to {results}.\n")


def _measure(run: Run) -> dict[str, float]:
    """Run on fresh servers: what one row leaves behind, due orders above all, slows no other."""
    with (
        tempfile.TemporaryDirectory(prefix="tradepost-bench-") as folder,
        peers(Path(folder)) as up,
    ):
        return run(up)


def _table(found: Mapping[str, float]) -> str:
    ours = found.get("ours")
    cells = [f"  {name:<22} {value:>12,.2f}" for name, value in found.items()]
    if ours is not None:
        for at, (name, value) in enumerate(found.items()):
            if name not in ("ours", "ratio"):
                cells[at] += f"   ours {ours / value:.2f}x"
    return "\n".join([*cells, ""])
