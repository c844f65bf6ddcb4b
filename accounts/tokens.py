"""Access tokens: signed and short-lived. Each names the family that it belongs to."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from accounts.tables import FAMILY_ID_LENGTH
from infra.errors import Unauthenticated

MIN_SECRET_LENGTH = 32
# Of 32 random hexadecimal digits, one in a million has fewer.
_MIN_DISTINCT = 8
_ISSUER = "tradepost"
_AUDIENCE = "tradepost-api"
_ALGORITHM = "HS256"
_CLAIMS = ("sub", "sid", "iat", "nbf", "exp", "iss", "aud")
_MAX_TOKEN_LENGTH = 1024
MAX_ID = 2**63 - 1
# A database that took over from another may be a little behind it.
_LEEWAY = timedelta(seconds=5)


class BadToken(Unauthenticated):
    """A token was sent and does not count."""

    code = "token_invalid"

    def __init__(self, detail: str = "The access token is not one of ours.") -> None:
        super().__init__(detail)


class TokenExpired(BadToken):
    """The token's time is over."""

    code = "token_expired"

    def __init__(self) -> None:
        super().__init__("The access token has expired. Sign in again.")


class TokenRevoked(BadToken):
    """The token was ended by a sign-out, a new password or the like."""

    code = "token_revoked"

    def __init__(self) -> None:
        super().__init__("The access token was ended before its time. Sign in again.")


@dataclass(frozen=True, slots=True)
class Signing:
    """What tokens are signed with, and how long they live.

    Tokens that were signed with one of `previous` count too, while one secret follows another.
    """

    secret: str = field(repr=False)
    previous: tuple[str, ...] = field(default=(), repr=False)
    life: timedelta = timedelta(hours=1)
    refresh_life: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a sound token says."""

    user_id: int
    family_id: str
    valid_from: datetime
    expires_at: datetime

    def check_time(self, now: datetime) -> None:
        """Look at the time for which the token was made.

        Raises:
            TokenExpired: it is over.
            BadToken: it has not come.
        """
        if now >= self.expires_at:
            raise TokenExpired
        if now + _LEEWAY < self.valid_from:
            raise BadToken("The access token is not valid yet.")


def find_weakness(secret: str) -> str | None:
    """Say why a secret must not sign tokens, None for nothing: whoever guesses it is everybody."""
    if len(secret) < MIN_SECRET_LENGTH:
        return f"is shorter than {MIN_SECRET_LENGTH} characters"
    if len(set(secret)) < _MIN_DISTINCT:
        return "is made of too few different characters"
    if secret in (secret + secret)[1:-1]:
        return "repeats itself"
    return None


def sign(signing: Signing, *, user_id: int, family_id: str, now: datetime) -> str:
    """Make an access token for a user, within a family."""
    claims: dict[str, Any] = {
        "sub": str(user_id),
        "sid": family_id,
        "iat": now,
        "nbf": now,
        "exp": now + signing.life,
        "iss": _ISSUER,
        "aud": _AUDIENCE,
    }
    return jwt.encode(claims, signing.secret, algorithm=_ALGORITHM)


def read(signing: Signing, token: str, *, now: datetime) -> Claims:
    """Check a token's signature, form and time; whether its family goes on is not asked here.

    Raises:
        TokenExpired: its time is over.
        BadToken: it is not one of ours, or its time has not come.
    """
    claims = read_undated(signing, token)
    claims.check_time(now)
    return claims


def read_undated(signing: Signing, token: str) -> Claims:
    """Check a token's signature and form; its time is left to `Claims.check_time`.

    Raises:
        BadToken: it is not one of ours.
    """
    claims = _decode(signing, token)
    return Claims(
        user_id=_user_id(claims["sub"]),
        family_id=_family_id(claims["sid"]),
        valid_from=datetime.fromtimestamp(int(claims["nbf"]), UTC),
        expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
    )


def _decode(signing: Signing, token: str) -> dict[str, Any]:
    if len(token) > _MAX_TOKEN_LENGTH:
        raise BadToken
    for secret in (signing.secret, *signing.previous):
        try:
            return jwt.decode(
                token,
                secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                # Times are judged by the caller's `now`: the database's clock, not this machine's.
                options={
                    "require": list(_CLAIMS),
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise BadToken from error
    raise BadToken


def _user_id(subject: str) -> int:
    if not (subject.isascii() and subject.isdigit()) or not 0 < int(subject) <= MAX_ID:
        raise BadToken
    return int(subject)


def _family_id(named: object) -> str:
    if not isinstance(named, str) or len(named) != FAMILY_ID_LENGTH:
        raise BadToken
    return named
