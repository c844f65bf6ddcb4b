"""Our own Redis clients: short waits, no hidden repeats, one kind of failure."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.errors import Transient
from infra.logs import log

Client = redis.Redis
AsyncClient = redis.asyncio.Redis
Pipeline = redis.client.Pipeline

_UNUSABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
)


class RedisDown(Transient):
    """Redis cannot be reached, or refused the command."""

    code = "redis_unavailable"

    def __init__(self) -> None:
        super().__init__("Redis cannot be reached. Try again soon.")


def connect(url: str, *, connect_timeout_s: float = 2, timeout_s: float = 10) -> Client:
    """Make a client that sends each command at most once; nothing is sent until first use."""
    client: Client = redis.Redis.from_url(
        url,
        socket_connect_timeout=connect_timeout_s,
        socket_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=10,
        retry=Retry(NoBackoff(), 0),
    )
    return client


def connect_async(url: str, *, timeout_s: float | None = 10) -> AsyncClient:
    """Make the same client for an event loop; `timeout_s` None is for reads that block."""
    from redis.asyncio.retry import Retry as AsyncRetry  # noqa: PLC0415 - workers never need it

    client: AsyncClient = redis.asyncio.Redis.from_url(
        url,
        socket_connect_timeout=2,
        socket_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=10,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return client


@contextmanager
def translated() -> Iterator[None]:
    """Turn connection errors, time-outs and a server that takes no writes into `RedisDown`.

    Raises:
        RedisDown: Redis cannot be reached or cannot serve.
    """
    try:
        yield
    except _UNUSABLE as error:
        raise RedisDown from error


@contextmanager
def shared() -> Iterator[None]:
    """Do what `translated` does, for keys that nothing depends on for being right.

    Whoever can write to Redis may have put something of another kind there: then nobody can say
    what should stand there, until that is deleted.

    Raises:
        RedisDown: Redis cannot be reached, cannot serve, or holds something else under the key.
    """
    try:
        with translated():
            yield
    except redis.ResponseError as error:
        log.error("redis_key_not_ours", error=str(error))
        raise RedisDown from error


def set_for_a_while(pipe: Pipeline, key: str, value: str | int, *, life_ms: int) -> None:
    """Set a key that is not there, for a while; the first of two answers is whether it was.

    Whatever is there goes in that time at the latest: what somebody else has put there for ever,
    of whatever kind, holds nobody up for longer.
    """
    pipe.set(key, value, nx=True, px=life_ms)
    pipe.pexpire(key, life_ms, lt=True)


def ping(client: Client) -> None:
    """Ask for a sign of life.

    Raises:
        RedisDown: there was none.
    """
    try:
        with translated():
            client.ping()
    except redis.ResponseError as error:  # a database it does not have, a password it wants
        raise RedisDown from error
