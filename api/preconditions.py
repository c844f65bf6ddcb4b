"""Versions of a thing in HTTP headers: `ETag`, `If-Match`, `If-None-Match` (RFC 9110, 13)."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from infra.errors import Invalid

_LONGEST = 500
# Another server's tags may hold anything printable; ours are version numbers.
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,18}")


class BadPrecondition(Invalid):
    """The header names no version in a form that HTTP knows."""

    code = "bad_if_match"

    def __init__(self) -> None:
        super().__init__(
            'If-Match: send the ETag of the answer you have read, such as "3", or leave it out.',
            errors=[{"field": "If-Match", "message": "not an entity tag"}],
        )


def etag(version: int) -> str:
    """Make the entity tag of a version."""
    return f'"{version}"'


async def _versions(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(description="Do it only if this is still the `ETag`; else 412.", examples=['"3"']),
    ] = None,
) -> frozenset[int] | None:
    if if_match is None:
        return None
    sent = _joined(request, "if-match")
    if sent.strip() == "*":
        return None
    tags = _parse(sent)
    if not tags:
        raise BadPrecondition
    # A weak tag vouches for nothing that may be written over.
    return frozenset(int(tag) for weak, tag in tags if not weak and _VERSION.fullmatch(tag))


ExpectedVersions = Annotated[frozenset[int] | None, Depends(_versions)]
"""The versions of which the thing must be at one; None if any will do."""


async def _known_tags(
    request: Request,
    if_none_match: Annotated[
        str | None, Header(description="An `ETag` that you have: 304 if it is still the one.")
    ] = None,
) -> str | None:
    return None if if_none_match is None else _joined(request, "if-none-match")


KnownTags = Annotated[str | None, Depends(_known_tags)]
"""The entity tags that a reader has, for `names_tag`; None without any."""


def names_tag(if_none_match: str, etag: str) -> bool:
    """Tell whether a reader's `If-None-Match` names an entity tag, weak or strong."""
    if if_none_match.strip() == "*":
        return True
    wanted = etag.removeprefix("W/").strip('"')
    return any(tag == wanted for _, tag in _parse(if_none_match))


def _joined(request: Request, name: str) -> str:
    """Read the lines of a header as the one list that they are (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


def _parse(header: str) -> list[tuple[bool, str]]:
    """Read a list of entity tags; none at all if any of it is something else."""
    if len(header) > _LONGEST:
        return []
    found = [_TAG.fullmatch(part.strip()) for part in header.split(",")]
    return [(bool(tag[1]), tag[2]) for tag in found if tag] if all(found) else []
