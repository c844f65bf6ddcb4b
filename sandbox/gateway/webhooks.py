"""Webhooks: the gateway tells a subscriber what happened to a charge or a refund."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import orjson

from sandbox.faults import DEFAULT_DELAY_S, FaultBook
from sandbox.wire import Refusal

if TYPE_CHECKING:
    from sandbox.gateway.postman import Postman


WEBHOOK_FAULTS = ("webhook_first", "webhook_twice", "webhook_late", "webhook_forged")
# A subscriber that answers nobody must not hold up a charge for longer.
_FIRST_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where webhooks go and the secret they are signed with."""

    url: str
    secret: str

    @classmethod
    def read(cls, body: Mapping[str, object]) -> Self:
        """Read a subscription from `{"url", "secret"}`.

        Raises:
            Refusal: 422, not an http address, or no secret.
        """
        url, secret = body.get("url"), body.get("secret")
        if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}:
            raise Refusal(422, "invalid_webhook", "`url` must be an http or https address.")
        if not isinstance(secret, str) or not secret:
            raise Refusal(422, "invalid_webhook", "`secret` must be a text.")
        return cls(url, secret)


class Webhooks:
    """Announces events to the subscriber; off until somebody subscribes.

    The subscription survives a restart in a file of its own, unless the start brings another.
    Events that were under way do not: a receiver has to ask the gateway anyway, since webhooks get
    lost in real life too.
    """

    def __init__(
        self, path: Path, book: FaultBook, *, subscription: Subscription | None = None
    ) -> None:
        self._path = path
        self._book = book
        if subscription is None and path.exists():
            subscription = Subscription.read(json.loads(path.read_text(encoding="utf-8")))
        self._postman: Postman | None = _hire(subscription) if subscription else None

    async def subscribe(self, subscription: Subscription) -> None:
        """Send events to this address from now on, and to no other."""
        await self.unsubscribe()
        text = json.dumps({"url": subscription.url, "secret": subscription.secret})
        self._path.write_text(text, encoding="utf-8")
        self._postman = _hire(subscription)

    async def unsubscribe(self) -> None:
        """Send nothing any more."""
        self._path.unlink(missing_ok=True)
        await self.close()
        self._postman = None

    async def announce(
        self, kind: str, thing: Mapping[str, object], *, fault: str | None = None
    ) -> None:
        """Send one event, unless nobody subscribed; it is on its way when this returns.

        A fault, armed or brought along, doubles, delays or forges it; or waits until it has been
        delivered, so that the subscriber hears of it before its own call is answered.
        """
        if self._postman is None:
            return
        event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "type": kind,
            "created": int(time.time()),
            "data": {"object": thing},
        }
        struck = {name: self._book.take((name,), lambda: thing) for name in WEBHOOK_FAULTS}
        bad = {name for name, armed in struck.items() if armed or name == fault}
        late = struck["webhook_late"]
        delay_s = (late.delay_s if late else DEFAULT_DELAY_S) if "webhook_late" in bad else 0.0
        sent = [
            self._postman.send(orjson.dumps(event), delay_s=delay_s, forged="webhook_forged" in bad)
            for _ in range(2 if "webhook_twice" in bad else 1)
        ]
        if "webhook_first" in bad:
            await asyncio.wait(sent, timeout=_FIRST_WITHIN_S)

    async def close(self) -> None:
        """Drop what is under way."""
        if self._postman is not None:
            await self._postman.close()


def _hire(subscription: Subscription) -> "Postman":
    # The HTTP client takes a third of a second and 15 MB, which only a run with webhooks pays.
    from sandbox.gateway.postman import Postman  # noqa: PLC0415

    return Postman(url=subscription.url, secret=subscription.secret)
