"""The id of the request that work is done for, on its way through rows, messages and logs."""

from structlog.contextvars import get_contextvars

LENGTH = 64


def request_id() -> str | None:
    """Give the id of the request that this context works for; None if nobody asked."""
    found = get_contextvars().get("request_id")
    return str(found)[:LENGTH] if found else None
