"""How market data are sent: with an entity tag, an age, and word of how long they may be kept."""

from typing import Any

from fastapi import Request, Response, status

from api import access
from api.deps import Collaborators
from api.preconditions import names_tag
from market.documents import Ready

JSON = "application/json"
_JSON_HEADER = (b"content-type", JSON.encode())
_IF_NONE_MATCH = b"if-none-match"

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The reader's `If-None-Match` names this answer: it has not changed."}
}


class Prepared(Response):
    """An answer whose headers are bytes already: encoding them took longer than all the rest."""

    def __init__(self, status_code: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = headers


def send(request: Request, ready: Ready, *, keep_s: int = 1) -> Response:
    """Send an answer that others may keep for `keep_s` seconds, or say that the reader has it.

    `Age` counts from the provider's confirmation, and so must the life that `max-age` gives. The
    tag is weak: ages in the body move on while the answer stays the same.
    """
    age_s, etag = ready.confirmed_s_ago, f'W/"{ready.tag}"'
    headers = [
        (b"etag", etag.encode()),
        (b"age", b"%d" % age_s),
        (b"cache-control", b"public, max-age=%d" % (age_s + keep_s)),
    ]
    if has_it(request, etag):
        return Prepared(status.HTTP_304_NOT_MODIFIED, b"", headers)
    headers += [(b"content-length", b"%d" % len(ready.body)), _JSON_HEADER]
    return Prepared(status.HTTP_200_OK, ready.body, headers)


def has_it(request: Request, etag: str) -> bool:
    """Tell whether the reader names this entity tag as one that he has."""
    for name, value in request.scope["headers"]:
        if name == _IF_NONE_MATCH and names_tag(value.decode("latin-1"), etag):
            return True
    return False


async def find_stranger(request: Request) -> str | None:
    """Tell the address of a caller whom we do not know; None for those we do."""
    kept: Collaborators = request.app.state.collaborators
    caller = await access.resolve(
        request,
        mode=kept.settings.auth_mode,
        reads=kept.database.reads,
        signing=kept.gate.signing,
    )
    if caller is not None:
        return None
    return request.client.host if request.client else "unknown"
