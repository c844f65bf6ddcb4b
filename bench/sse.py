"""Live events to many at once: how long from the commit to the last line at the client.

The clients are a process of their own: `python -m bench.sse PORT SUBSCRIBERS EVENTS` prints what
came, and how late, as JSON.
"""

import asyncio
import json
import re
import sys
import threading
import time
from typing import cast

import uvloop

from bench.servers import Peers
from infra import outbox
from infra.db import Database, open_database, transact
from infra.events.relay import Relay, publish
from infra.outbox import Change
from infra.redis import connect
from infra.streams import Streams
from tests.support.databases import speak_as_mysql
from tests.support.fleet import Fleet
from tests.support.processes import PYTHON
from workers.topics import TOPICS

TOPIC = "market.news"
_AT = re.compile(rb'"at":([0-9.]+)')
_REQUEST = "GET /events?topics={} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n"
_PATIENCE_S = 60.0


def run(peers: Peers, *, subscribers: int, rate: float, seconds: float) -> dict[str, float]:
    """Commit so many events a second; return what part was delivered, and how late, in ms."""
    most = str(subscribers + 10)
    env = {**peers.env, "AUTH_MODE": "open", "LOG_LEVEL": "WARNING"}
    env |= {"EVENT_STREAMS": most, "EVENT_STREAMS_PER_CALLER": most}
    fleet = Fleet(peers.nursery, env, peers.work_dir)
    events = int(rate * seconds)
    with peers.nursery.group():
        api = fleet.api(path="/healthz")
        port = api.url.rpartition(":")[2]
        command = [PYTHON, "-m", "bench.sse", port, str(subscribers), str(events)]
        clients = peers.nursery.start("subscribers", command)
        clients.wait_until(lambda: "ready" in clients.log())
        _write(peers, count=events, rate=rate)
        clients.wait(timeout_s=_PATIENCE_S * 2)
        figures: dict[str, float] = json.loads(clients.log().splitlines()[-1])
    return figures


def _write(peers: Peers, *, count: int, rate: float) -> None:
    database = open_database(peers.env["DATABASE_URL"])
    speak_as_mysql(database.engine)
    client = connect(peers.env["BROKER_URL"])
    relay = Relay(database.sessions, Streams(client), TOPICS)
    bell, done = threading.Event(), threading.Event()
    publisher = threading.Thread(target=_publish, args=(relay, bell, done))
    publisher.start()
    begun = time.perf_counter()
    for number in range(count):
        time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        _commit(database, number)
        bell.set()
    done.set()
    bell.set()
    publisher.join()
    client.close()
    database.engine.dispose()


def _publish(relay: Relay, bell: threading.Event, done: threading.Event) -> None:
    """Publish when rung, as the events worker does."""
    while not done.is_set():
        bell.wait()
        bell.clear()
        publish(relay)


def _commit(database: Database, number: int) -> None:
    data = {"at": time.time(), "n": number}
    made = Change(TOPIC, "news.published", f"news/bench{number}-{data['at']}", 1, data)
    transact(database.sessions, lambda session: outbox.record(session, [made]))


class _Client(asyncio.Protocol):
    """One subscriber, which notes how late each event is."""

    def __init__(self, request: bytes, wanted: int) -> None:
        self.late_s: list[float] = []
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._wanted = wanted
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do, without being of their class.
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        whole, _, self._rest = (self._rest + data).rpartition(b"\n\n")
        if not self.ready.done() and b"event: ready" in whole:
            self.ready.set_result(None)
        self.late_s += [now - float(at) for at in _AT.findall(whole)]
        if len(self.late_s) >= self._wanted and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        for future in (self.ready, self.done):
            if not future.done():
                future.set_result(None)


async def _subscribe(port: int, subscribers: int, wanted: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []
    request = _REQUEST.format(TOPIC, port).encode()
    for _ in range(subscribers):
        _, client = await loop.create_connection(
            lambda: _Client(request, wanted), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.ready for client in clients))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.wait([client.done for client in clients], timeout=_PATIENCE_S)
    late = sorted(late_s for client in clients for late_s in client.late_s)
    return {
        "delivered": len(late) / (subscribers * wanted),
        "p50 ms": late[len(late) // 2] * 1000,
        "p99 ms": late[len(late) * 99 // 100] * 1000,
        "worst ms": late[-1] * 1000,
    }


if __name__ == "__main__":
    port, subscribers, events = (int(argument) for argument in sys.argv[1:])
    figures = uvloop.run(_subscribe(port, subscribers, events))
    sys.stdout.write(json.dumps(figures) + "\n")
