"""The quick comparison: `make bench-quick`, some minutes. Plain Celery, and cached quotes."""

from bench import quotes, settle
from bench.report import report
from bench.servers import Peers


def measure(peers: Peers) -> dict[str, dict[str, float]]:
    """Run the short comparisons."""
    return {
        "settle": settle.run_instant(peers, ours=5000, theirs=1000, rounds=3, with_all=False),
        "cached quote": quotes.run(peers, rounds=4, seconds=1.5),
    }


if __name__ == "__main__":
    report("quick", measure)
