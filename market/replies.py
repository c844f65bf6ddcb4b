"""What the provider's status codes and headers mean, when the answer is none."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from infra.http import Reply
from infra.logs import log
from market.upstream import (
    BadAnswer,
    FinnhubHiccup,
    FinnhubUnavailable,
    KeyRefused,
    NoAccess,
    RateLimited,
)

LONGEST_PAUSE_S = 600
_WORTH_ANOTHER_TRY = (
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# A reset that is larger is an instant, not a number of seconds.
_AN_INSTANT_S = 1_000_000_000


def refuse_failure(reply: Reply, path: str) -> None:
    """Let an answer through if its status is 200.

    Raises:
        NoAccess: the key's plan does not include the endpoint or the symbol.
        RateLimited: the provider asks for a pause.
        KeyRefused: it does not know the key.
        FinnhubHiccup: something in between failed; the same call may be sent again.
        FinnhubUnavailable: the provider itself failed.
        BadAnswer: any other status; a redirect too, since it could lead the key anywhere.
    """
    status = reply.status
    if status == HTTPStatus.OK:
        return
    log.warning("finnhub_refused", path=path, status=status)
    if status == HTTPStatus.FORBIDDEN:
        raise NoAccess(path)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimited(told_s=told_pause_s(reply, now_s=time.time()))
    if status == HTTPStatus.UNAUTHORIZED:
        raise KeyRefused
    if status in _WORTH_ANOTHER_TRY:
        raise FinnhubHiccup(f"it answered {status}")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise FinnhubUnavailable(f"it answered {status}")
    raise BadAnswer(f"it came with status {status}")


def told_pause_s(reply: Reply, *, now_s: float) -> int | None:
    """Read for how long the provider asks us to pause; it documents no such header.

    `Retry-After` is a number of seconds or a date, `X-Ratelimit-Reset` an instant in unix seconds.
    """
    for told in (
        _after(reply.headers.get("retry-after", ""), now_s),
        _until(reply.headers.get("x-ratelimit-reset", ""), now_s),
    ):
        if told is not None:
            return min(max(told, 1), LONGEST_PAUSE_S)
    return None


def _after(text: str, now_s: float) -> int | None:
    if text.isascii() and text.isdecimal():
        return int(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int(
        (at.replace(tzinfo=at.tzinfo or UTC) - datetime.fromtimestamp(now_s, UTC)).total_seconds()
    )


def _until(text: str, now_s: float) -> int | None:
    if not (text.isascii() and text.isdecimal()):
        return None
    told = int(text[:12])
    return int(told - now_s) if told > _AN_INSTANT_S else told
