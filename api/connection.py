"""One connection of a caller: uvicorn's, but with an end to what it waits for.

uvicorn waits for ever for a request's head, keeps a head of any length, and keeps an answer for
ever for a caller who does not read it. It is told to use this by
`--http api.connection:Connection`.
"""

import secrets
from asyncio import TimerHandle
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import REQUEST_ID, respond
from api.hygiene import FOR_DATA

HEAD_TIMEOUT_S = 10.0
UNREAD_TIMEOUT_S = 30.0
MAX_HEAD_BYTES = 32 * 1024
_LINGER_S = 2.0


class Connection(HttpToolsProtocol):
    """Ends itself when a head is too slow or too long, or when answers are not read."""

    head_timeout_s = HEAD_TIMEOUT_S
    unread_timeout_s = UNREAD_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - handed on to uvicorn's
        super().__init__(*args, **kwargs)
        self.ws_protocol_class = None  # nothing here speaks WebSocket
        self._in_body = False
        self._head_begun = False
        self._head_bytes = 0
        self._refused = False
        self._head_deadline: TimerHandle | None = None
        self._unread_deadline: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn and asyncio disagree
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        for deadline in (self._head_deadline, self._unread_deadline):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived: at most `MAX_HEAD_BYTES` of it can be a head."""
        while data and not self._refused and not self.transport.is_closing():
            room = len(data) if self._in_body else MAX_HEAD_BYTES - self._head_bytes
            if not room:
                detail = f"Address and headers are longer than {MAX_HEAD_BYTES // 1024} KiB."
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", detail)
                return
            part, data = data[:room], data[room:]
            self._head_bytes += len(part)
            super().data_received(part)
        # The keep-alive time ends with the first byte, also with one that begins nothing, or that
        # still belongs to a body which nobody wants: it must not be the last limit.
        if self._head_deadline is None and (self._head_begun or self._is_idle()):
            self._expect_head()

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._head_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a head has ended in time."""
        self._head_begun, self._in_body = False, True
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next thing to come is a head."""
        self._in_body, self._head_bytes = False, 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Begin to wait for the caller to read."""
        super().pause_writing()
        self._unread_deadline = self.loop.call_later(self.unread_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the caller reads."""
        if self._unread_deadline is not None:
            self._unread_deadline.cancel()
            self._unread_deadline = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of every other error."""
        self._refuse(HTTPStatus.BAD_REQUEST, "malformed_request", msg)

    def _is_idle(self) -> bool:
        return bool(getattr(self.cycle, "response_complete", True))

    def _expect_head(self) -> None:
        self._head_deadline = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _give_up(self) -> None:
        if self._head_begun and self._is_idle():
            detail = "The head of the request did not arrive in time."
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "head_too_slow", detail)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        request_id = secrets.token_hex(8)
        self.logger.warning("Refused a request: %s, request id %s", code, request_id)
        answer = respond({REQUEST_ID: request_id}, status, code, detail)
        headers = [
            *self.server_state.default_headers,
            *answer.raw_headers,
            *FOR_DATA,
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + bytes(answer.body))
        self._hang_up()

    def _hang_up(self) -> None:
        self._refused = True
        if not self.transport.can_write_eof():  # TLS has no half-closed connections
            self.transport.close()
            return
        # With something unread, closing at once would take our answer away from who still sends.
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.abort)
