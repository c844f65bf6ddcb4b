"""Bearer tokens: signed, short-lived, and ended early through the database."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.tables import RevokedToken
from infra import clock
from infra.errors import Unauthenticated

MIN_SECRET_LENGTH = 32
_ISSUER = "tradepost"
_AUDIENCE = "tradepost-api"
_ALGORITHM = "HS256"
_CLAIMS = ("sub", "jti", "iat", "nbf", "exp", "iss", "aud")
_MAX_TOKEN_LENGTH = 1024
_MAX_ID = 2**63 - 1
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
    """The token was ended by a sign-out."""

    code = "token_revoked"

    def __init__(self) -> None:
        super().__init__("The access token was ended by a sign-out. Sign in again.")


@dataclass(frozen=True, slots=True)
class Signing:
    """What tokens are signed with, and how long they live."""

    secret: str = field(repr=False)
    life: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a sound token says."""

    user_id: int
    jti: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token as it is handed out."""

    access_token: str = field(repr=False)
    expires_in_s: int


def issue(signing: Signing, *, user_id: int, now: datetime) -> Issued:
    """Sign a token for a user."""
    expires_at = now + signing.life
    claims: dict[str, Any] = {
        "sub": str(user_id),
        "jti": secrets.token_hex(16),
        "iat": now,
        "nbf": now,
        "exp": expires_at,
        "iss": _ISSUER,
        "aud": _AUDIENCE,
    }
    token = jwt.encode(claims, signing.secret, algorithm=_ALGORITHM)
    return Issued(access_token=token, expires_in_s=int(signing.life.total_seconds()))


def read(signing: Signing, token: str, *, now: datetime) -> Claims:
    """Check a token's signature, form and time; whether it was ended early is not asked here.

    Raises:
        TokenExpired: its time is over.
        BadToken: it is not one of ours, or its time has not come.
    """
    claims = _decode(signing, token)
    expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    if now >= expires_at:
        raise TokenExpired
    if now + _LEEWAY < datetime.fromtimestamp(int(claims["nbf"]), UTC):
        raise BadToken("The access token is not valid yet.")
    return Claims(user_id=_user_id(claims["sub"]), jti=claims["jti"], expires_at=expires_at)


def revoke(session: Session, claims: Claims, *, now: datetime | None = None) -> None:
    """End a token before its time; a repeat changes nothing. Rows of no more use are removed."""
    now = now or clock.now(session)
    session.execute(sa.delete(RevokedToken).where(RevokedToken.expires_at < now - _LEEWAY))
    if not is_revoked(session, claims):
        session.add(RevokedToken(jti=claims.jti, expires_at=claims.expires_at))


def is_revoked(session: Session, claims: Claims) -> bool:
    """Tell whether a token was ended before its time."""
    return session.get(RevokedToken, claims.jti) is not None


def _decode(signing: Signing, token: str) -> dict[str, Any]:
    if len(token) > _MAX_TOKEN_LENGTH:
        raise BadToken
    try:
        return jwt.decode(
            token,
            signing.secret,
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
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise BadToken from error


def _user_id(subject: str) -> int:
    if not (subject.isascii() and subject.isdigit()) or not 0 < int(subject) <= _MAX_ID:
        raise BadToken
    return int(subject)
