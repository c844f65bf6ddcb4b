"""Celery's Redis transport, but a message that nobody can read does not end the worker."""

from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

from infra.logs import log


class Channel(redis.Channel):
    """A channel that drops what is no message."""

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 - kombu's
        try:
            return super()._brpop_read(**options)  # type: ignore[misc] # the stubs leave it out
        except (ValueError, TypeError, KeyError) as error:
            # It is off the queue already, and what it may have meant to ring is swept.
            log.error("message_unreadable", error=type(error).__name__)
            raise Empty from error


class Transport(redis.Transport):
    """The Redis transport over such channels."""

    Channel = Channel


def install() -> None:
    """Use this transport for every broker at a `redis://` or `rediss://` URL."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
