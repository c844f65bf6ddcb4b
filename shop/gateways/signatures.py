"""Signatures of webhooks: `t=<unix>,v1=<HMAC-SHA256 of "<unix>.<body>">`, of several secrets.

Source: https://docs.stripe.com/webhooks/signature, 2026-11; the sandbox gateway signs alike.
"""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from infra.errors import Unauthenticated

TOLERANCE = timedelta(seconds=300)
# While a secret is replaced there are two of them, and a sender signs with both.
_MOST_SIGNATURES = 5
_LONGEST_STAMP = 12


class BadSignature(Unauthenticated):
    """The webhook is not signed by its gateway, or was signed too long ago."""

    code = "bad_signature"

    def __init__(self) -> None:
        super().__init__("This webhook is not signed by its gateway, or was signed too long ago.")


def check(
    header: str | None, body: bytes, *, secrets: Sequence[str], now: datetime | None = None
) -> None:
    """Accept a body that one of the secrets has signed within the last five minutes.

    The clock is this process's own: no transaction is opened for who has no signature.

    Raises:
        BadSignature: no, none of ours, or too old a signature; which one is not told.
    """
    stamp, signatures = _read(header or "")
    if not stamp or not _is_fresh(stamp, now or datetime.now(UTC)):
        raise BadSignature
    signed = stamp.encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, "sha256").hexdigest() for secret in secrets]
    matches = [
        hmac.compare_digest(ours.encode(), theirs.encode())
        for ours in expected
        for theirs in signatures
    ]
    if not any(matches):
        raise BadSignature


def _read(header: str) -> tuple[str, list[str]]:
    parts = [part.strip().partition("=") for part in header.split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    is_stamp = len(stamps) == 1 and stamps[0].isascii() and stamps[0].isdecimal()
    if not is_stamp or len(stamps[0]) > _LONGEST_STAMP or len(signatures) > _MOST_SIGNATURES:
        return "", []
    return stamps[0], signatures


def _is_fresh(stamp: str, now: datetime) -> bool:
    return abs(now.timestamp() - int(stamp)) <= TOLERANCE.total_seconds()
