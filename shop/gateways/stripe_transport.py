"""How the Stripe SDK reaches the network: our own client, our own time-outs, one try."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import stripe

from infra.http import read_whole
from infra.settings import is_loopback

CONNECT_TIMEOUT_S = 2.0


class Transport(stripe.HTTPClient):
    """Sends what the SDK has built; httpx's errors go through it as they are.

    The SDK's own clients hide whether a connection was refused or an answer was lost, and that is
    the difference between 'not sent' and 'unknown'.
    """

    name = "httpx"

    def __init__(self, base_url: str, *, timeout_s: float, connections: int) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            trust_env=not is_loopback(base_url),
        )

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,  # noqa: ANN401 - the signature is the SDK's
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Send one request and read its answer whole.

        Raises:
            httpx.HTTPError: no answer, too long a one, or none in time.
        """
        ends_at_s = time.monotonic() + self._timeout_s
        with self._http.stream(method, url, headers=headers, content=post_data) as answer:
            reply = read_whole(answer, ends_at_s=ends_at_s)
        return reply.body.decode("utf-8", errors="replace"), reply.status, reply.headers
