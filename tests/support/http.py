"""HTTP to servers of this machine, without the 25 ms it takes to read a certificate store."""

import ssl
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import httpx

# More than the API waits for anything: whoever is slow on a busy machine, it is not the client.
_PATIENCE_S = 60.0
# Codes of what the API does not wait for any longer, and has not begun: Redis for a second, a lock
# or a worker for a few. A machine that is busy with other tests is slower now and then.
_NOT_IN_TIME = frozenset({"redis_unavailable", "in_flight", "market_timeout"})
_AGAIN_AFTER_S = 0.1


def plain_client(base_url: str = "", *, timeout_s: float = _PATIENCE_S) -> httpx.Client:
    """Make a client for plain HTTP that uses no proxy and keeps no connection open."""
    return _client(base_url, _transport(), timeout_s)


def persistent_client(base_url: str) -> httpx.Client:
    """Make a client that asks again, as it is told to, what was not answered in time."""
    return _client(base_url, _Persistent(_transport()), _PATIENCE_S)


def answers_ok(url: str) -> bool:
    """Tell whether a GET is answered with 200."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == httpx.codes.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class _Persistent(httpx.BaseTransport):
    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        ends_at = time.monotonic() + _PATIENCE_S
        while True:
            answer = self._transport.handle_request(request)
            if not _was_too_slow(answer) or time.monotonic() > ends_at:
                return answer
            time.sleep(_AGAIN_AFTER_S)

    def close(self) -> None:
        self._transport.close()


def _client(base_url: str, transport: httpx.BaseTransport, timeout_s: float) -> httpx.Client:
    return httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=False, transport=transport)


def _transport() -> httpx.HTTPTransport:
    return httpx.HTTPTransport(
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def _was_too_slow(answer: httpx.Response) -> bool:
    if answer.headers.get("content-type") != "application/problem+json":
        return False
    answer.read()
    return answer.is_server_error and answer.json()["code"] in _NOT_IN_TIME
