"""`POST /orders/` against a hand-written handler with the same statements by the same driver.

Both know their caller by the same token, run alone in one process over the same pool, and are asked
by the same connections in turn, each for products of its own. Ours also rings the workers; the
other tells nobody.
"""

from statistics import median

import orjson

from bench.front import customer, front, product
from bench.load import load
from bench.servers import Peers, opened

CONNECTIONS = 8
_SIDES = {"ours": ("api.main:app", "/healthz"), "by hand": ("bench.handmade:app", "/docs")}


def run(peers: Peers, *, rounds: int, seconds: float) -> dict[str, float]:
    """Measure both; return orders a second (medians) and the median ratio."""
    rates: dict[str, list[float]] = {name: [] for name in _SIDES}
    with opened(peers) as database:
        token = customer(database, "accept")
        bodies = {
            name: orjson.dumps({"items": [{"product_id": product(database), "quantity": 1}]})
            for name in _SIDES
        }
        for _ in range(rounds):
            for name, (application, path) in _SIDES.items():
                with front(peers, application, path) as served:
                    ask = (served.port, "/orders/", CONNECTIONS)
                    load(*ask, 1.0, body=bodies[name], token=token)
                    rates[name].append(load(*ask, seconds, body=bodies[name], token=token))
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["by hand"], strict=True)]
    return {**{name: median(found) for name, found in rates.items()}, "ratio": median(ratios)}
