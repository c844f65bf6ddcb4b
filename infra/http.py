"""HTTP to outside services: every wait bounded, every answer bounded, no redirect followed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from infra.settings import is_loopback

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 3.0
ANSWER_LIMIT_BYTES = 5 * 1024 * 1024


class AnswerTooLong(httpx.TransportError):
    """The answer is larger, or takes longer, than what we are ready to take."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def open_client(
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    connections: int = 20,
) -> httpx.Client:
    """Make a client for one service, safe for many threads; nothing is sent until first use.

    A redirect is an answer like any other: following it would send our headers, with the key among
    them, to whichever host the answer names.
    """
    return httpx.Client(
        base_url=base_url,
        headers=headers,
        timeout=httpx.Timeout(read_timeout_s, connect=connect_timeout_s),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        # A proxy named in the environment is for the world outside, not for this machine.
        trust_env=not is_loopback(base_url),
    )


def fetch(
    client: httpx.Client,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    deadline_s: float = 2 * READ_TIMEOUT_S,
    limit_bytes: int = ANSWER_LIMIT_BYTES,
) -> Reply:
    """GET a path and read its answer whole.

    Raises:
        httpx.HTTPError: no answer in time, or none that could be read.
        AnswerTooLong: more than `limit_bytes`, or still dripping in after `deadline_s`.
    """
    ends_at_s = time.monotonic() + deadline_s
    patience = httpx.Timeout(
        _shorter(client.timeout.read, deadline_s),
        connect=_shorter(client.timeout.connect, deadline_s),
    )
    with client.stream("GET", path, params=params, timeout=patience) as response:
        return read_whole(response, ends_at_s=ends_at_s, limit_bytes=limit_bytes)


def read_whole(
    response: httpx.Response, *, ends_at_s: float, limit_bytes: int = ANSWER_LIMIT_BYTES
) -> Reply:
    """Read an answer that is being streamed until `ends_at_s`, by the monotonic clock.

    A time-out of the client holds for each wait: a byte now and then would go on for ever.

    Raises:
        httpx.HTTPError: the rest of it does not come.
        AnswerTooLong: more than `limit_bytes`, or still dripping in after that time.
    """
    chunks: list[bytes] = []
    size_bytes = 0
    for chunk in response.iter_bytes():
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > limit_bytes or time.monotonic() > ends_at_s:
            raise AnswerTooLong("The answer is too long.")
    return Reply(response.status_code, response.headers, b"".join(chunks))


def _shorter(timeout_s: float | None, deadline_s: float) -> float:
    return deadline_s if timeout_s is None else min(timeout_s, deadline_s)
