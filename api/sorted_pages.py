"""Pages of the catalogue in each of its orders; the cursor belongs to the order it was made in."""

import base64
from collections.abc import Sequence
from typing import Annotated

import orjson
from fastapi import Depends, Query, Request, Response

from api.paging import DEFAULT_LIMIT, MAX_LIMIT, BadCursor, name_next
from shop import catalogue, money
from shop.catalogue import Mark, Sort
from shop.products import Listed

# A name of 300 characters of four bytes each, in Base64.
_LONGEST = 2000
_MAX_ID = 2**63 - 1
_PARTS = 3


class SortedPage:
    """The page that was asked for. Ask for `fetch` rows behind `after`, hand them to `show`."""

    def __init__(
        self, request: Request, response: Response, limit: int, sort: Sort, after: Mark | None
    ) -> None:
        self.sort = sort
        self.after = after
        self._limit = limit
        self._request = request
        self._response = response

    @property
    def fetch(self) -> int:
        """How many rows to ask for; the last one only tells whether there is another page."""
        return self._limit + 1

    def show(self, rows: Sequence[Listed]) -> Sequence[Listed]:
        """Cut the rows to the page, and name the next page in the `Link` header if there is one."""
        if len(rows) <= self._limit:
            return rows
        shown = rows[: self._limit]
        cursor = encode_mark(self.sort, catalogue.mark(shown[-1], self.sort))
        name_next(self._request, self._response, limit=self._limit, cursor=cursor)
        return shown


async def sorted_page(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page.")] = DEFAULT_LIMIT,
    sort: Annotated[Sort, Query(description="In which order.")] = Sort.NEWEST,
    cursor: Annotated[
        str | None, Query(description="Where the page begins; from a Link header, else left out.")
    ] = None,
) -> SortedPage:
    """Read the page asked for from `limit`, `sort` and `cursor`."""
    after = None if cursor is None else decode_mark(cursor, sort)
    return SortedPage(request, response, limit, sort, after)


SortedPaging = Annotated[SortedPage, Depends(sorted_page)]


def encode_mark(sort: Sort, mark: Mark) -> str:
    """Make the cursor of the page behind a mark."""
    document = orjson.dumps([sort.value, mark.value, mark.product_id])
    return base64.urlsafe_b64encode(document).decode().rstrip("=")


def decode_mark(cursor: str, sort: Sort) -> Mark:
    """Read a mark out of a cursor.

    Raises:
        BadCursor: we never gave it out, or for another order.
    """
    try:
        padded = cursor[:_LONGEST] + "=" * (-len(cursor) % 4)
        parts = orjson.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except ValueError as error:
        raise BadCursor from error
    if not isinstance(parts, list) or len(parts) != _PARTS or not _fits(sort, *parts):
        raise BadCursor
    mark = Mark(parts[2], parts[1])
    # Exactly as given out: other spellings of the same bytes are not ours.
    if encode_mark(sort, mark) != cursor:
        raise BadCursor
    return mark


def _fits(sort: Sort, word: object, value: object, product_id: object) -> bool:
    if word != sort.value or type(product_id) is not int or not 0 < product_id <= _MAX_ID:
        return False
    if sort is Sort.NEWEST:
        return value is None
    if sort is Sort.NAME:
        return isinstance(value, str)
    return type(value) is int and 0 <= value < money.MAX_MINOR
