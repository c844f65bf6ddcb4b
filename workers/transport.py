"""Celery's Redis transport, but neither an unreadable message nor a cut link ends the worker."""

from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual

from infra.logs import log


class QoS(redis.QoS):
    """Deliveries whose link may be gone: Redis itself gives them out again, in time.

    A channel that outlives its connection knows no server any more. kombu would look for one and
    fail with an AttributeError, which nobody expects there: the worker would end.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; over a link that is gone, only forget it."""
        if self._is_cut():
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ANN401 - kombu's
        """Give back what was not acknowledged; over a link that is gone, leave it to Redis."""
        if not self._is_cut():
            super().restore_unacked(client)
        elif self._delivered:
            self._delivered.clear()

    def _is_cut(self) -> bool:
        transport: Any = self.channel.connection  # None, whatever the stubs say, once it is closed
        return transport is None or transport.client is None


class Channel(redis.Channel):
    """A channel that drops what is no message."""

    QoS = QoS

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
