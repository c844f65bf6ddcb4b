"""Answers as CSV (RFC 4180), sent while they are read: as large as they like, in flat memory."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from threading import BoundedSemaphore

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from infra.errors import Transient

MEDIA_TYPE = "text/csv"
CONTENT = {MEDIA_TYPE: {"schema": {"type": "string"}}}
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

# Anybody may ask for them, and each keeps a processor busy.
MOST_AT_ONCE = 8

Row = Sequence[object]
_places = BoundedSemaphore(MOST_AT_ONCE)


class TooManyExports(Transient):
    """Others are reading long answers now."""

    code = "too_many_exports"

    def __init__(self) -> None:
        super().__init__("Too many exports are being read at once. Try again soon.")


class Export(StreamingResponse):
    """A CSV under way; it gives its place to the next when it has been sent, or broken off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            _places.release()


def as_csv(name: str, head: Sequence[str], groups: Iterable[Iterable[Row]]) -> Export:
    """Answer with rows in groups, each sent when it has been read.

    The first group is read here and now: what fails then is still an error with its own status.
    A failure further on breaks the connection off, so that nobody takes a part for the whole.

    Raises:
        TooManyExports: `MOST_AT_ONCE` are under way in this process.
    """
    reading = iter(groups)
    first = next(reading, ())
    if not _places.acquire(blocking=False):
        raise TooManyExports
    # Read in threads, one group at a time, and only as fast as the caller takes them.
    return Export(
        _encode(head, chain((first,), reading)),
        media_type=MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{_file_name(name)}.csv"'},
    )


def cell(text: str) -> str:
    """Make text harmless that a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _encode(head: Sequence[str], groups: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(head)
    for group in groups:
        writer.writerows(group)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name)
