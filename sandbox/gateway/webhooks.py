"""Signed webhooks: the gateway tells a configured address what happened to a charge."""

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import orjson

from sandbox.faults import FaultBook
from sandbox.wire import Refusal

if TYPE_CHECKING:
    import httpx

SIGNATURE_HEADER = "Gateway-Signature"
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
TIMEOUT_S = 10.0
AT_ONCE = 50


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


def sign(body: bytes, *, secret: str, at: int) -> str:
    """Return `t=<unix>,v1=<hex>`, the HMAC-SHA256 of `<unix>.<body>`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
    return f"t={at},v1={digest}"


class Webhooks:
    """Sends events in the background; off until somebody subscribes.

    The subscription survives a restart in a file of its own. Events that were under way do not:
    a receiver has to ask the gateway anyway, since webhooks get lost in real life too.
    """

    def __init__(self, path: Path, book: FaultBook) -> None:
        self._path = path
        self._book = book
        self._subscription = _load(path)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def subscribe(self, subscription: Subscription) -> None:
        """Send events to this address from now on."""
        self._subscription = subscription
        self._path.write_text(
            json.dumps({"url": subscription.url, "secret": subscription.secret}), encoding="utf-8"
        )

    def unsubscribe(self) -> None:
        """Send nothing any more."""
        self._subscription = None
        self._path.unlink(missing_ok=True)

    def announce(self, kind: str, thing: Mapping[str, object]) -> None:
        """Send one event, unless nobody subscribed; armed webhook faults double or delay it."""
        if self._subscription is None:
            return
        event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "type": kind,
            "created": int(time.time()),
            "data": {"object": thing},
        }
        body = orjson.dumps(event)
        late = self._book.take(("webhook_late",), lambda: thing)
        twice = self._book.take(("webhook_twice",), lambda: thing)
        for _ in range(2 if twice else 1):
            delivery = self._deliver(body, self._subscription, late.delay_s if late else 0.0)
            task = asyncio.create_task(delivery)
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)

    async def close(self) -> None:
        """Drop what is under way."""
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _deliver(self, body: bytes, subscription: Subscription, delay_s: float) -> None:
        for wait_s in (delay_s, *RETRY_DELAYS_S):
            await asyncio.sleep(wait_s)
            async with self._slots:
                if await self._post(body, subscription):
                    return

    async def _post(self, body: bytes, subscription: Subscription) -> bool:
        import httpx  # noqa: PLC0415 - half a second and 15 MB that only a run with webhooks pays

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        signature = sign(body, secret=subscription.secret, at=int(time.time()))
        headers = {"content-type": "application/json", SIGNATURE_HEADER: signature}
        try:
            answer = await self._client.post(subscription.url, content=body, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.is_success


def _load(path: Path) -> Subscription | None:
    try:
        return Subscription.read(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
