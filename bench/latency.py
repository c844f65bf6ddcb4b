"""From the answer of `POST /orders/` until a listener hears `order.paid`, at 50 orders a second.

Both charge over HTTP at a gateway without delay, with two worker processes. The peer is the
hand-written handler, a Celery task for each order, and Redis pub/sub to its stream.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx

from bench import slow_gateway
from bench.front import Front, customer, front, product
from bench.servers import PROCESSES, Peers, opened
from tests.support.http import plain_client
from tests.support.processes import PYTHON, eventually, free_port, is_listening

RATE = 50
_WARM_UP = 20
_PATIENCE_S = 60.0


def run(peers: Peers, *, seconds: float) -> dict[str, float]:
    """Measure both; return the 50th and 99th percentile of each, in ms."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    gateway = [PYTHON, "-m", "bench.slow_gateway", str(port), "0"]
    figures: dict[str, float] = {}
    with peers.nursery.group(), opened(peers) as database:
        peers.nursery.start("gateway", gateway).wait_until(lambda: is_listening(port))
        peers.env.update({slow_gateway.URL: url, "GATEWAY_URL": url})
        token, product_id = customer(database, "latency"), product(database)
        for name, side in (("ours", _ours), ("celery", _by_celery)):
            with side(peers) as (served, stream):
                waits = sorted(_waits(served, stream, token, product_id, seconds))
            figures[f"{name} p50"] = waits[len(waits) // 2] * 1e3
            figures[f"{name} p99"] = waits[int(len(waits) * 0.99)] * 1e3
    return figures


@contextmanager
def _ours(peers: Peers) -> Iterator[tuple[Front, str]]:
    heartbeat = peers.work_dir / "worker.heartbeat"
    command = [
        *("celery", "-A", "workers.app", "worker", "-Q", "payments,events"),
        *("-c", str(PROCESSES), "--without-mingle", "--without-gossip"),
    ]
    with peers.nursery.group():
        worker = peers.nursery.start(
            "worker",
            [PYTHON, "-m", *command],
            env={**peers.env, "HEARTBEAT_FILE": str(heartbeat)},
        )
        worker.wait_until(heartbeat.exists)
        with front(peers, "api.main:app", "/healthz") as served:
            yield served, "/events?topics=orders"


@contextmanager
def _by_celery(peers: Peers) -> Iterator[tuple[Front, str]]:
    command = [
        *("celery", "-A", "bench.by_celery", "worker", "-Q", "by_celery"),
        *("-c", str(PROCESSES), "--loglevel=INFO"),
    ]
    with (
        peers.worker(command, "ready.", "by-celery"),
        front(peers, "bench.handmade:app", "/docs", TELL="1") as served,
    ):
        yield served, "/paid"


def _waits(served: Front, stream: str, token: str, product_id: int, seconds: float) -> list[float]:
    """Order at the rate; return how long after its acceptance each order was told of as paid."""
    headers = {"Authorization": f"Bearer {token}"}
    body = {"items": [{"product_id": product_id, "quantity": 1}]}
    accepted: dict[int, float] = {}
    heard: dict[int, float] = {}
    with plain_client(served.url) as http:
        http.headers.update(headers)
        listener = threading.Thread(
            target=_listen, args=(served.url + stream, headers, heard), daemon=True
        )
        listener.start()
        eventually(lambda: heard.pop(0, None))
        for _ in range(_WARM_UP):
            http.post("/orders/", json=body).raise_for_status()
        eventually(lambda: len(heard) >= _WARM_UP, 30)
        heard.clear()
        with ThreadPoolExecutor(RATE) as threads:
            begun = time.perf_counter()
            for n in range(int(RATE * seconds)):
                time.sleep(max(0.0, begun + n / RATE - time.perf_counter()))
                threads.submit(_order, http, body, accepted)
        eventually(lambda: accepted.keys() <= heard.keys(), 60)
    return [max(0.0, heard[order_id] - at) for order_id, at in accepted.items()]


def _order(http: httpx.Client, body: Mapping[str, object], accepted: dict[int, float]) -> None:
    answer = http.post("/orders/", json=body)
    accepted[answer.raise_for_status().json()["id"]] = time.perf_counter()


def _listen(url: str, headers: Mapping[str, str], heard: dict[int, float]) -> None:
    """Write down when each order was told of; 0 stands for the stream's first line."""
    with (
        suppress(httpx.RemoteProtocolError),  # the server ends, and the stream with it
        plain_client(timeout_s=_PATIENCE_S) as http,
        http.stream("GET", url, headers=dict(headers)) as answer,
    ):
        kind = ""
        heard[0] = time.perf_counter()
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind == "order.paid":
                subject = json.loads(line.removeprefix("data: "))["subject"]
                heard[int(subject.removeprefix("orders/"))] = time.perf_counter()
