"""Cached quotes against an endpoint that does nothing, and against one that reads Redis.

All three stand on one server behind the same middleware, and are asked in turn.
"""

from statistics import median

import httpx

from bench.load import load
from bench.servers import Peers
from tests.support.fleet import Fleet
from tests.support.http import plain_client
from tests.support.processes import PYTHON, eventually, free_port
from tests.support.sandbox import Sandbox

CONNECTIONS = 16
_PATHS = {
    "quote": "/market/quote?symbol=AAPL",
    "empty": "/bench/empty",
    "redis": "/bench/redis?symbol=AAPL",
}


def run(peers: Peers, *, rounds: int, seconds: float) -> dict[str, float]:
    """Measure the endpoints; return answers a second (medians) and median ratios."""
    (peers.work_dir / "sandbox").mkdir()
    sandbox = Sandbox(peers.nursery, peers.work_dir / "sandbox")
    port = free_port()
    env = {**peers.env, **sandbox.env(), "AUTH_MODE": "open", "LOG_LEVEL": "WARNING"}
    fleet = Fleet(peers.nursery, env, peers.work_dir)
    command = [PYTHON, "-m", "uvicorn", "bench.empty:app", "--port", str(port), "--no-access-log"]
    with peers.nursery.group(), plain_client(f"http://127.0.0.1:{port}") as http:
        fleet.worker(concurrency=1)
        fleet.beat()  # keeps the watched quotes fresh, as in production
        peers.nursery.start("api", command, env=env)
        for path in _PATHS.values():
            eventually(lambda: http.get(path).is_success, tolerate=(httpx.TransportError,))  # noqa: B023 - asked at once
        measured = [
            {name: load(port, path, CONNECTIONS, seconds) for name, path in _PATHS.items()}
            for _ in range(rounds)
        ]
    rates = {name: median(each[name] for each in measured) for name in _PATHS}
    return rates | {
        f"of {name}": median(each["quote"] / each[name] for each in measured)
        for name in ("empty", "redis")
    }
