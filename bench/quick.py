"""The quick comparison: `make bench-quick`, under three minutes."""

import json
import sys
import tempfile
from pathlib import Path

from bench import quotes, settle
from bench.servers import peers

RESULTS = Path("var/bench-quick.json")


def main() -> None:
    """Run every comparison, print a table and keep the figures as JSON."""
    with (
        tempfile.TemporaryDirectory(prefix="tradepost-bench-") as folder,
        peers(Path(folder)) as up,
    ):
        results = {"settle": settle.run(up, ours=5000, plain=1000), "quote": quotes.run(up)}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    for name, figures in results.items():
        sys.stdout.write(
            f"{name}: " + "  ".join(f"{k} {v:,.1f}" for k, v in figures.items()) + "\n"
        )


if __name__ == "__main__":
    main()
