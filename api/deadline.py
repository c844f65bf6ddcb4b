"""Answers in time: a caller is not kept waiting for as long as what we wait for."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import answer
from infra.errors import TimedOut
from infra.logs import log

ANSWER_TIMEOUT_S = 20.0


class AnsweredTooLate(TimedOut):
    """The work takes longer than a caller should wait; it may still be done."""

    code = "too_slow"

    def __init__(self) -> None:
        super().__init__(
            "This takes too long. It may still be done: look, or repeat with the same"
            " Idempotency-Key."
        )


class Deadline:
    """Answers 504 when an answer has not begun in time; what has begun may go on, as streams do.

    The work is not cancelled: it may sit in a thread, which nothing can end. Its own limits end it
    (`infra/db`), and until then it keeps its place, so that there are never more threads than
    places.
    """

    def __init__(self, app: ASGIApp, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        refusal: asyncio.Task[None] | None = None

        def refuse() -> None:
            nonlocal refusal
            log.warning("request_too_slow", timeout_s=self._timeout_s)
            refused = answer(scope, AnsweredTooLate())
            refusal = loop.create_task(refused(scope, receive, send))

        timer = loop.call_later(self._timeout_s, refuse)

        async def send_in_time(message: Message) -> None:
            timer.cancel()
            if refusal is None:
                await send(message)

        try:
            await self._app(scope, receive, send_in_time)
        except Exception:  # whatever it is, a caller who has had his answer cannot be told
            if refusal is None:
                raise
            log.exception("request_failed_late")
        finally:
            timer.cancel()
            if refusal is not None:
                await refusal
