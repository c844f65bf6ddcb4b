"""A thousand requests at once, without a thousand clients' worth of work."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson


@dataclass(frozen=True)
class Reply:
    """What one request was answered with."""

    url: str
    status: int
    headers: dict[str, str]
    body: Any


def ask_all(urls: Sequence[str], *, timeout_s: float = 60.0) -> list[Reply]:
    """Send a GET to every URL at the same time, each over a connection of its own."""

    async def ask_together() -> list[Reply]:
        async with asyncio.timeout(timeout_s):
            return await asyncio.gather(*map(_ask, urls))

    return asyncio.run(ask_together())


async def _ask(url: str) -> Reply:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        target = f"{parts.path}?{parts.query}"
        head = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
    finally:
        writer.close()
    head_bytes, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head_bytes.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Reply(url, int(first.split(" ")[1]), headers, orjson.loads(body))
