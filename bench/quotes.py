"""Cached quotes against an endpoint that does nothing, on one server."""

import subprocess
from statistics import median

import httpx

from bench.servers import Peers
from tests.support.fleet import Fleet
from tests.support.http import plain_client
from tests.support.processes import PYTHON, ROOT, eventually, free_port
from tests.support.sandbox import Sandbox

ROUNDS = 4
SECONDS = 1.5
CONNECTIONS = 16
QUOTE, EMPTY = "/market/quote?symbol=AAPL", "/bench/empty"


def run(peers: Peers) -> dict[str, float]:
    """Measure both endpoints in turn; return answers a second (medians) and the median ratio."""
    (peers.work_dir / "sandbox").mkdir()
    sandbox = Sandbox(peers.nursery, peers.work_dir / "sandbox")
    port = free_port()
    env = {**peers.env, **sandbox.env(), "AUTH_MODE": "open", "LOG_LEVEL": "WARNING"}
    fleet = Fleet(peers.nursery, env, peers.work_dir)
    command = [PYTHON, "-m", "uvicorn", "bench.empty:app", "--port", str(port),
               "--http", "api.connection:Connection", "--no-access-log"]  # fmt: skip
    with peers.nursery.group(), plain_client(f"http://127.0.0.1:{port}") as http:
        fleet.worker(concurrency=1)
        fleet.beat()  # keeps the watched quotes fresh, as in production
        peers.nursery.start("api", command, env=env)
        eventually(lambda: http.get(QUOTE).is_success, tolerate=(httpx.TransportError,))
        pairs = [(_load(port, QUOTE), _load(port, EMPTY)) for _ in range(ROUNDS)]
    quote, empty = zip(*pairs, strict=True)
    ratio = median(ours / theirs for ours, theirs in pairs)
    return {"quote": median(quote), "empty": median(empty), "ratio": ratio}


def _load(port: int, path: str) -> float:
    command = [PYTHON, "-m", "bench.load", str(port), path, str(CONNECTIONS), str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)
