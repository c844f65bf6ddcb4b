"""Pages of a list, by the key of the last row shown: rows added meanwhile move nothing."""

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Query, Request, Response

from infra.errors import Invalid

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
_MAX_CURSOR = 40
_MAX_KEY = 2**63 - 1

T = TypeVar("T")


class BadCursor(Invalid):
    """The cursor is not one that this API gave out."""

    code = "bad_cursor"

    def __init__(self) -> None:
        super().__init__(
            "cursor: not one of ours. Take it from the Link header of the page before.",
            errors=[{"field": "cursor", "message": "not one of ours"}],
        )


class Page:
    """The page that was asked for: rows with keys below `below`, newest first.

    Ask the database for `fetch` rows, one more than are shown, and hand them to `show`.
    """

    def __init__(self, request: Request, response: Response, limit: int, below: int | None) -> None:
        self.limit = limit
        self.below = below
        self._request = request
        self._response = response

    @property
    def fetch(self) -> int:
        """How many rows to ask for; the last one only tells whether there is another page."""
        return self.limit + 1

    def show(self, rows: Sequence[T], *, key: Callable[[T], int]) -> Sequence[T]:
        """Cut the rows to the page, and name the next page in the `Link` header if there is one."""
        if len(rows) <= self.limit:
            return rows
        shown = rows[: self.limit]
        cursor = encode_cursor(key(shown[-1]))
        name_next(self._request, self._response, limit=self.limit, cursor=cursor)
        return shown


async def page(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page.")] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(description="Where the page begins; from a Link header, else left out.")
    ] = None,
) -> Page:
    """Read the page asked for from `limit` and `cursor`."""
    return Page(request, response, limit, None if cursor is None else decode_cursor(cursor))


Paging = Annotated[Page, Depends(page)]


def name_next(request: Request, response: Response, *, limit: int, cursor: str) -> None:
    """Name the page that begins at a cursor in the `Link` header, with the filters asked for."""
    query = parse_qsl(request.url.query, keep_blank_values=True)
    kept = [(name, value) for name, value in query if name not in ("cursor", "limit")]
    # Relative, so that no forged Host header can send a reader elsewhere.
    asked = urlencode([*kept, ("limit", limit), ("cursor", cursor)])
    response.headers["Link"] = f'<{request.url.path}?{asked}>; rel="next"'


def encode_cursor(key: int) -> str:
    """Make the cursor of the page that follows the row with this key."""
    return base64.urlsafe_b64encode(b"below:%d" % key).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Read the key out of a cursor.

    Raises:
        BadCursor: we never gave it out.
    """
    try:
        padded = cursor[:_MAX_CURSOR] + "=" * (-len(cursor) % 4)
        word, _, digits = base64.urlsafe_b64decode(padded.encode("ascii")).decode().partition(":")
        key = int(digits) if word == "below" and digits.isdigit() else 0
    except ValueError as error:
        raise BadCursor from error
    # Exactly as given out: other spellings of the same bytes are not ours.
    if not 0 < key <= _MAX_KEY or encode_cursor(key) != cursor:
        raise BadCursor
    return key
