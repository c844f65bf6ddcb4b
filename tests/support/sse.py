"""A plain client of server-sent events, which can be cut off anywhere."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Received:
    """One event as it came over the wire."""

    type: str
    id: str
    data: Any


class EventStream:
    """One open `GET /events`; leaving it cuts the connection off."""

    def __init__(
        self,
        api_url: str,
        *,
        topics: str | None = None,
        last_event_id: str | None = None,
        token: str | None = None,
        timeout_s: float = 60.0,
        **query: str | None,
    ) -> None:
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        asked = {"topics": topics, **query}
        told = urlencode({name: value for name, value in asked.items() if value is not None})
        self.last_id = last_event_id
        self._connection = HTTPConnection(urlsplit(api_url).netloc, timeout=timeout_s)
        self._response = _ask(self._connection, f"/events?{told}", headers)
        self.status = self._response.status
        self.headers = self._response.headers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def lines(self) -> Iterator[str]:
        """Yield lines as they come, until the server ends the stream."""
        with suppress(HTTPException, ConnectionError):
            while line := self._response.readline():
                yield line.decode().removesuffix("\n")

    def events(self, *, most_lines: int | None = None) -> Iterator[Received]:
        """Yield whole events; with `most_lines`, stop after so many lines, wherever that is."""
        fields: dict[str, str] = {}
        for count, line in enumerate(self.lines(), start=1):
            name, _, value = line.partition(": ")
            if line == "" and fields:
                self.last_id = fields["id"]
                yield Received(fields["event"], fields["id"], json.loads(fields["data"]))
                fields = {}
            elif name:
                fields[name] = value
            if count == most_lines:
                return

    def take(self, count: int) -> list[Received]:
        """Read that many events; fewer if the server ends the stream.

        Not counted is word of how far the stream is, which comes when all else has taken long.
        """
        events: list[Received] = []
        for event in self.events():
            if event.type != "place":
                events.append(event)
            if len(events) == count:
                break
        return events

    def comment(self) -> str:
        """Read up to the next comment line."""
        return next(line for line in self.lines() if line.startswith(":"))

    def body(self) -> Any:
        """Read the whole answer of a stream that was refused."""
        return json.loads(self._response.read())

    def close(self) -> None:
        """Cut the connection off."""
        self._connection.close()


def open_raw(
    api_url: str, *, topics: str, headers: Mapping[str, str] | None = None, small: bool = False
) -> socket.socket:
    """Ask for a stream and read nothing; a `small` one holds little on its way to us."""
    address = urlsplit(api_url)
    link = socket.socket()
    if small:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.settimeout(60)
    link.connect((address.hostname, address.port))
    told = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    request = f"GET /events?topics={topics} HTTP/1.1\r\nHost: {address.netloc}\r\n{told}\r\n"
    link.sendall(request.encode())
    return link


def is_followed(api_url: str) -> bool:
    """Tell whether an API has found its place in the streams: before, it refuses subscribers."""
    with EventStream(api_url, topics="products") as stream:
        return stream.status == HTTPStatus.OK


def _ask(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> HTTPResponse:
    connection.request("GET", path, headers=dict(headers))
    return connection.getresponse()
