"""What pages, claims, history and sweeps cost at 1,000,000 orders, against 10,000."""

import sys

from bench.servers import Peers
from tests.support.scale import costs, tell

SMALL, LARGE = 10_000, 1_000_000
_ROUNDS = 25


def run(peers: Peers, *, large: int = LARGE) -> dict[str, float]:
    """Take every look at both shops; return how many times as long each takes in the large one."""
    found = costs(peers.mariadb, (SMALL, large), rounds=_ROUNDS)
    sys.stdout.write(tell(found))
    before, after = found[SMALL], found[large]
    return {name: cost.seconds / before[name].seconds for name, cost in after.items()}
