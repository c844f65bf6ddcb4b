"""Families of tokens: what one sign-in gives out, passed on by refreshing, ended all at once.

A refresh token counts once. When one that was used comes again, either its owner or a thief holds
an old copy: nobody can tell which, so the whole family ends and a password is needed again.

Source: https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2, 2026-11.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import tokens
from accounts.tables import RefreshToken, TokenFamily, User
from accounts.tokens import BadToken, Signing
from infra import clock
from infra.db import Sessions, transact


class BadRefreshToken(BadToken):
    """The refresh token does not count, or counts no longer."""

    code = "refresh_token_invalid"

    def __init__(self) -> None:
        super().__init__("The refresh token does not count any more. Sign in again.")


@dataclass(frozen=True, slots=True)
class Issued:
    """New tokens as they are handed out."""

    access_token: str = field(repr=False)
    expires_in_s: int
    refresh_token: str = field(repr=False)


def begin(session: Session, signing: Signing, *, user_id: int, now: datetime) -> Issued:
    """Start a family with its first tokens; the user's families whose time is over are removed."""
    session.execute(
        sa.delete(TokenFamily).where(TokenFamily.user_id == user_id, TokenFamily.expires_at <= now)
    )
    family = TokenFamily(
        id=secrets.token_hex(16),
        user_id=user_id,
        created_at=now,
        expires_at=now + signing.refresh_life,
    )
    session.add(family)
    session.flush()
    return _issue(session, signing, family_id=family.id, user_id=user_id, now=now)


def refresh(
    sessions: Sessions, signing: Signing, refresh_token: str, *, now: datetime | None = None
) -> Issued:
    """Change a refresh token for new tokens; a used one ends its family.

    Raises:
        BadRefreshToken: it is not one of ours, was used, or its family or its user has ended.
    """
    # The end of a family must be committed, so it cannot be told by an error from within.
    issued = transact(sessions, lambda session: _rotate(session, signing, refresh_token, now))
    if issued is None:
        raise BadRefreshToken
    return issued


def end(session: Session, family_id: str, *, now: datetime) -> None:
    """End a family; a repeat changes nothing."""
    session.execute(
        sa.update(TokenFamily)
        .where(TokenFamily.id == family_id, TokenFamily.ended_at.is_(None))
        .values(ended_at=now)
    )


def end_all(session: Session, user_id: int, *, now: datetime, except_id: str | None = None) -> None:
    """End a user's families, but for one."""
    ended = sa.update(TokenFamily).where(
        TokenFamily.user_id == user_id, TokenFamily.ended_at.is_(None)
    )
    if except_id is not None:
        ended = ended.where(TokenFamily.id != except_id)
    session.execute(ended.values(ended_at=now))


def _rotate(
    session: Session, signing: Signing, refresh_token: str, now: datetime | None
) -> Issued | None:
    now = now or clock.now(session)
    hashed = _hash(refresh_token)
    known = session.execute(
        sa.select(RefreshToken.family_id, TokenFamily.user_id)
        .join(TokenFamily, TokenFamily.id == RefreshToken.family_id)
        .join(User, User.id == TokenFamily.user_id)
        .where(
            RefreshToken.hash == hashed,
            TokenFamily.ended_at.is_(None),
            TokenFamily.expires_at > now,
            User.disabled_at.is_(None),
        )
        # Nobody may end the family between this look and the new tokens.
        .with_for_update()
    ).one_or_none()
    if known is None:
        return None
    taken = session.connection().execute(
        sa.update(RefreshToken)
        .where(RefreshToken.hash == hashed, RefreshToken.used_at.is_(None))
        .values(used_at=now)
    )
    if taken.rowcount == 0:
        end(session, known.family_id, now=now)
        return None
    return _issue(session, signing, family_id=known.family_id, user_id=known.user_id, now=now)


def _issue(
    session: Session, signing: Signing, *, family_id: str, user_id: int, now: datetime
) -> Issued:
    refresh_token = secrets.token_urlsafe(32)
    session.add(RefreshToken(hash=_hash(refresh_token), family_id=family_id))
    return Issued(
        access_token=tokens.sign(signing, user_id=user_id, family_id=family_id, now=now),
        expires_in_s=int(signing.life.total_seconds()),
        refresh_token=refresh_token,
    )


def _hash(refresh_token: str) -> str:
    # 256 random bits need no salt and no slow hash.
    return sha256(refresh_token.encode()).hexdigest()
