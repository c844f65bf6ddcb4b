"""A gateway that answers each charge over HTTP after its latency, however many there are at once.

Run as a process of its own: `python -m bench.slow_gateway PORT SECONDS`. It keeps no books, so that
it costs as little of the machine as it can.
"""

import asyncio
import sys
from functools import cache
from os import environ
from typing import cast

import orjson
import uvloop

from shop.gateways.protocol import ChargeRequest, Succeeded
from shop.gateways.sandbox import SandboxGateway

LATENCY_S = 0.05
# What Stripe is asked at once; the peers' workers ask one at a time, each process.
IN_FLIGHT = 20
URL = "SLOW_GATEWAY_URL"


class SlowGateway(SandboxGateway):
    """The sandbox's client, with the bound of a gateway that is not ours."""

    name = "instant"
    max_in_flight = IN_FLIGHT


@cache
def client() -> SlowGateway:
    """Open this process's client."""
    return SlowGateway(environ[URL])


def charge_over_http(request: ChargeRequest) -> str:
    """Charge by the same client as ours; return the charge's id."""
    answer = client().charge(request)
    assert isinstance(answer, Succeeded), answer
    return answer.id


class _Connection(asyncio.Protocol):
    """Answers one request after the other, each after its time."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do, without being of their class.
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._buffer = body[length:]
            asyncio.get_running_loop().call_later(self._latency_s, self._answer, body[:length])

    def _answer(self, body: bytes) -> None:
        charge = orjson.loads(body)
        made = {"id": f"ch_{charge['reference']}", "status": "succeeded", **charge}
        text = orjson.dumps(made)
        head = (
            f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
        )
        self._transport.write(f"{head}\r\n\r\n".encode() + text)


async def _serve(port: int, latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(latency_s), "127.0.0.1", port, backlog=1000
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
