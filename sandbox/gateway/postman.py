"""Delivers webhooks to one address, in the background, until they are accepted or given up."""

import asyncio
import hmac
import secrets
import time

import httpx

SIGNATURE_HEADER = "Gateway-Signature"
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
TIMEOUT_S = 10.0
AT_ONCE = 50


def sign(body: bytes, *, secret: str, at: int) -> str:
    """Return `t=<unix>,v1=<hex>`, the HMAC-SHA256 of `<unix>.<body>`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
    return f"t={at},v1={digest}"


class Postman:
    """Posts signed events to one address, several at once, each until it is answered with 2xx."""

    def __init__(self, *, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._deliveries: set[asyncio.Task[None]] = set()

    def send(
        self, body: bytes, *, delay_s: float = 0.0, forged: bool = False
    ) -> "asyncio.Task[None]":
        """Send an event after a delay, forged with a secret nobody has; return at once."""
        secret = secrets.token_hex(16) if forged else self._secret
        task = asyncio.create_task(self._deliver(body, secret, delay_s))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)
        return task

    async def close(self) -> None:
        """Drop what is under way."""
        deliveries = tuple(self._deliveries)
        for task in deliveries:
            task.cancel()
        await asyncio.gather(*deliveries, return_exceptions=True)
        await self._client.aclose()

    async def _deliver(self, body: bytes, secret: str, delay_s: float) -> None:
        for wait_s in (delay_s, *RETRY_DELAYS_S):
            await asyncio.sleep(wait_s)
            async with self._slots:
                if await self._is_accepted(body, secret):
                    return

    async def _is_accepted(self, body: bytes, secret: str) -> bool:
        signature = sign(body, secret=secret, at=int(time.time()))
        headers = {"content-type": "application/json", SIGNATURE_HEADER: signature}
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.is_success
